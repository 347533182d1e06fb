"""The filters of a list of jobs, from the words of a request to the instants of the use case."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.core.moments import start_of_day, zone
from chalicelib.errors import Invalid

# What `created=` stands for, in days back from the caller's today.
DAYS_BACK = {"week": 7, "month": 30}


def filters_of(given: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    """The filters as the list's use case takes them: what `created` says in words as two instants."""
    preset, timezone = given.pop("created"), given.pop("timezone")
    tz = zone(timezone, field="timezone")
    if preset != "all":
        if given["created_from"] is not None or given["created_to"] is not None:
            raise Invalid("Give created, or created_from and created_to.", field="created")
        given["created_from"], given["created_to"] = _range(preset, tz, now)
    return given


def _range(preset: str, tz: ZoneInfo, now: datetime) -> tuple[datetime, datetime | None]:
    today = now.astimezone(tz).date()
    if preset == "yesterday":
        return start_of_day(today - timedelta(days=1), tz), start_of_day(today, tz)
    return start_of_day(today - timedelta(days=DAYS_BACK[preset]), tz), None
