"""Where a window `since_previous_fire` begins: one rule for slots, starts by hand and previews.

It begins at the slot before that ran or was to run. Days off under `on_non_business: skip` were not to run, and neither
was the time that a task spent disabled. The first window begins at the schedule's start, else where the task was made.

A task knows its last slot. Before that one, and for a schedule that no task has yet, the schedule tells the slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.local_time import aware_utc
from chalicelib.core.schedules.business_days import Calendar
from chalicelib.core.schedules.fires import latest_fire
from chalicelib.core.schedules.form import normalise_schedule
from chalicelib.core.schedules.plan import anchor_of, compile_plan

_SECOND = timedelta(seconds=1)


def first_begin(schedule: Mapping[str, Any], *, made_at: datetime) -> datetime:
    """Where the first window of a task begins."""
    return (_anchor(schedule) if schedule.get("start") else None) or made_at


def begin_by_history(
    schedule: Mapping[str, Any], at: datetime, *, known: datetime | None, made_at: datetime, calendar: Calendar | None
) -> datetime:
    """Of a task's window that ends at `at`. `known`: the task's last slot that ran or was to run, if there is one."""
    first = first_begin(schedule, made_at=made_at)
    if known is not None and known < at:
        return known
    if known is None and first <= at:
        return first
    earlier = _fire_before(schedule, at, calendar)
    return first if earlier is None or earlier < first < at else earlier


def begin_by_schedule(schedule: Mapping[str, Any], at: datetime, *, calendar: Calendar | None) -> datetime | None:
    """As if a task had it since its start or anchor; None when there is neither of these nor a fire before `at`."""
    earlier, anchor = _fire_before(schedule, at, calendar), _anchor(schedule)
    return anchor if earlier is None or (anchor is not None and earlier < anchor < at) else earlier


def _fire_before(schedule: Mapping[str, Any], at: datetime, calendar: Calendar | None) -> datetime | None:
    moment = aware_utc(at, field="at").replace(microsecond=0)
    return latest_fire(schedule, at_or_before=moment - _SECOND, calendar=calendar)


def _anchor(schedule: Mapping[str, Any]) -> datetime | None:
    return anchor_of(normalise_schedule(schedule), compile_plan(schedule).tz)
