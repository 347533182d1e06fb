"""The next fires of a schedule for people: each with its local time, its flags and its window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.core.fields import whole
from chalicelib.core.local_time import aware_utc, epoch_seconds, from_seconds, instants_showing, local_text, to_local
from chalicelib.core.schedules.business_days import WEEKENDS_OFF, Calendar
from chalicelib.core.schedules.dst import Flag
from chalicelib.core.schedules.plan import compile_plan
from chalicelib.core.schedules.window import resolve
from chalicelib.core.schedules.window_begin import begin_by_schedule
from chalicelib.core.schedules.written_date import written_date

MAX_PREVIEW = 100


@dataclass(frozen=True, slots=True)
class Fire:
    """`local` is ISO 8601 with the offset; window bounds are None without a window."""

    at: datetime
    local: str
    flags: tuple[str, ...] = ()
    window_start: datetime | None = None
    window_end: datetime | None = None


def preview_fires(
    schedule: Mapping[str, Any],
    *,
    after: datetime,
    count: int,
    window: Mapping[str, Any] | None = None,
    calendar: Calendar | None = None,
) -> list[Fire]:
    """At most `count` (up to 100) fires strictly after an instant: those of `upcoming`, with details."""
    whole(count, low=0, high=MAX_PREVIEW, field="count")
    plan, days = compile_plan(schedule), calendar or WEEKENDS_OFF
    begin = epoch_seconds(aware_utc(after, field="after"))
    found: list[Fire] = []
    previous: datetime | None = None
    for fire, batch in islice(plan.walk(begin, days), count):
        at = from_seconds(fire)
        bounds: tuple[datetime | None, datetime | None] = (None, None)
        if window is not None:
            if window.get("type") == "since_previous_fire" and previous is None:
                previous = begin_by_schedule(schedule, at, calendar=days)
            if previous is not None or window.get("type") != "since_previous_fire":
                day = written_date(schedule, at, calendar=days)
                bounds = resolve(window, scheduled_for=at, timezone=plan.tz.key, previous=previous, written_on=day)
        flags = {*batch.flags, *_fold(at, plan.tz)}
        found.append(Fire(at, local_text(at, plan.tz), tuple(flag for flag in Flag if flag in flags), *bounds))
        previous = at
    return found


def _fold(at: datetime, tz: ZoneInfo) -> set[Flag]:
    local = to_local(at, tz)
    showing = instants_showing(local.replace(fold=0), tz)
    if not isinstance(showing, tuple) or len(showing) == 1:
        return set()
    return {Flag.FOLD_SECOND if local.fold else Flag.FOLD_FIRST}
