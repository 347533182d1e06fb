"""Business calendars as schedules use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.core.schedules.business_days import Calendar
from chalicelib.errors import Invalid, NotFound
from chalicelib.store.catalogue import get_calendar


def calendar_of(schedule: Mapping[str, Any]) -> Calendar | None:
    """The calendar that a schedule names; None where it names none. Raises Invalid for one that does not exist."""
    named = schedule.get("calendar")
    if not named:
        return None
    try:
        record = get_calendar(str(named))
    except NotFound:
        raise Invalid(f"There is no calendar {named}.", field="schedule.calendar") from None
    return Calendar.accept(
        {
            "version": f"{record.calendar_id}@{int(record.revision)}",
            "days": record.days,
            "first": record.covers_from,
            "last": record.covers_to,
        }
    )
