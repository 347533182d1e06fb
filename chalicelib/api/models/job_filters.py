"""Builds the filter of a list of jobs from the fields of a request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.core.local_time import start_of_day, zone
from chalicelib.errors import Invalid
from chalicelib.store.job_list_plan import JobFilter

# The fields that page and sort a list; the others filter it.
PAGING = frozenset({"page", "page_size", "sort"})
# `created=<word>` -> days before the caller's today.
DAYS_BACK = {"today": 0, "week": 7, "month": 30}


def job_filter(fields: Mapping[str, Any], *, now: datetime) -> JobFilter:
    """The filter for these fields: a word in `created` becomes two instants. Invalid when it comes with others."""
    given = {name: value for name, value in fields.items() if name not in PAGING}
    preset, timezone = given.pop("created"), given.pop("timezone")
    tz = zone(timezone, field="timezone")
    if preset != "all":
        if given["created_from"] is not None or given["created_to"] is not None:
            raise Invalid("Give created, or created_from and created_to.", field="created")
        given["created_from"], given["created_to"] = _range(preset, tz, now)
    return JobFilter(**given)


def _range(preset: str, tz: ZoneInfo, now: datetime) -> tuple[datetime, datetime | None]:
    today = now.astimezone(tz).date()
    if preset == "yesterday":
        return start_of_day(today - timedelta(days=1), tz), start_of_day(today, tz)
    return start_of_day(today - timedelta(days=DAYS_BACK[preset]), tz), None
