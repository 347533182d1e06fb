"""When a schedule fires. Schedules are mappings as in the API (see `form.py`); instants are aware UTC datetimes.

Every function raises InvalidSchedule, with the field, for a schedule that it cannot read. None reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from chalicelib.core.instants import rfc3339
from chalicelib.core.local_time import (
    DAY,
    Gap,
    aware_utc,
    epoch_seconds,
    from_seconds,
    instants_showing,
    local_text,
    to_local,
    zone,
)
from chalicelib.core.schedules.business_days import WEEKENDS_OFF, Calendar, OnNonBusiness
from chalicelib.core.schedules.cron import HORIZON_YEARS
from chalicelib.core.schedules.cron_fields import WEEKDAYS
from chalicelib.core.schedules.day_times import closest_pair
from chalicelib.core.schedules.form import normalise_schedule
from chalicelib.core.schedules.month_days import cron_weekday
from chalicelib.core.schedules.plan import DatePlan, IntervalPlan, OncePlan, Plan, anchor_of, compile_plan
from chalicelib.errors import InvalidSchedule

# The default of the stage's setting: below a minute most work has no time to finish.
MINIMUM_GAP_SECONDS = 60

_YEAR = 366 * DAY
_HORIZON = HORIZON_YEARS * _YEAR
# The field that an error names when the fires of a type are too close together, or never come.
_TIMING = {
    "once": "schedule.at",
    "interval": "schedule.every",
    "calendar": "schedule.every",
    "cron": "schedule.expression",
}


def fires_after(
    schedule: Mapping[str, Any], *, after: datetime, calendar: Calendar | None = None, with_skipped: bool = False
) -> Iterator[datetime]:
    """The fires strictly after an instant, ascending and lazy.

    With `with_skipped` also the slots on days off that `on_non_business: skip` does not run (see `runs_on`): each of
    them gets a job too, which records that it was skipped.
    """
    plan, begin = compile_plan(schedule), epoch_seconds(aware_utc(after, field="after"))
    walk = plan.walk(begin, calendar or WEEKENDS_OFF, with_skipped=with_skipped)
    return (from_seconds(fire) for fire, _ in walk)


def upcoming(
    schedule: Mapping[str, Any],
    *,
    after: datetime,
    count: int,
    calendar: Calendar | None = None,
    with_skipped: bool = False,
) -> list[datetime]:
    """At most `count` fires strictly after an instant; fewer when the schedule ends before."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise InvalidSchedule("A count of fires is needed.", field="count")
    return list(islice(fires_after(schedule, after=after, calendar=calendar, with_skipped=with_skipped), count))


def latest_fire(
    schedule: Mapping[str, Any], *, at_or_before: datetime, calendar: Calendar | None = None, with_skipped: bool = False
) -> datetime | None:
    """The last fire at or before an instant, or None when there was none in 60 years."""
    plan, until = compile_plan(schedule), epoch_seconds(aware_utc(at_or_before, field="at_or_before"))
    found = plan.latest(until, calendar or WEEKENDS_OFF, with_skipped=with_skipped)
    return None if found is None else from_seconds(found)


def runs_on(schedule: Mapping[str, Any], fire: datetime, *, calendar: Calendar | None = None) -> bool:
    """False for a slot on a day off under `on_non_business: skip` (reason `non_business_day`)."""
    plan = compile_plan(schedule)
    if not isinstance(plan, DatePlan) or plan.business_day_rule is not OnNonBusiness.SKIP:
        return True
    return (calendar or WEEKENDS_OFF).works(to_local(aware_utc(fire, field="fire"), plan.tz).date())


def accept_schedule(
    schedule: Mapping[str, Any],
    *,
    now: datetime,
    minimum_gap_seconds: int = MINIMUM_GAP_SECONDS,
    calendar: Calendar | None = None,
) -> dict[str, Any]:
    """The canonical mapping to store and show. `now` is the anchor of a schedule that has neither start nor anchor.

    Refuses what `normalise_schedule` refuses, and also: a `once` in a gap or in the past, two fires of a year that are
    closer than the minimum gap, and a schedule with no fire within 60 years.
    """
    moment = aware_utc(now, field="now").replace(microsecond=0)
    form = normalise_schedule(schedule)
    if form["type"] == "now":
        return form
    if form["type"] == "once":
        _check_once(form, moment)
    if form["type"] in ("interval", "calendar"):
        form = _anchored(form, moment)
    plan = compile_plan(form)
    days = calendar or WEEKENDS_OFF
    begin = plan.at - 1 if isinstance(plan, OncePlan) else epoch_seconds(moment)
    first = next((fire for fire, _ in plan.walk(begin, days)), None)
    if first is None or first > epoch_seconds(moment) + _HORIZON:
        over = plan.last is not None and plan.last < epoch_seconds(moment)
        field = "schedule.end" if over else _TIMING[form["type"]]
        raise InvalidSchedule(f"never_fires: no fire within {HORIZON_YEARS} years.", field=field)
    _check_gap(plan, first, days, minimum_gap_seconds, field=_TIMING[form["type"]])
    return form


def _check_once(form: Mapping[str, Any], moment: datetime) -> None:
    tz = zone(form["timezone"])
    found = instants_showing(datetime.fromisoformat(form["at"]), tz)
    if isinstance(found, Gap):
        later = to_local(from_seconds(found.end), tz).isoformat(timespec="seconds")
        raise InvalidSchedule(
            f"{form['at']} does not exist in {tz.key}: the clocks are put forward. The next time that does is {later}.",
            field="schedule.at",
        )
    at = found[min(form.get("fold", 0), len(found) - 1)]
    # Fires lie strictly after the moment of acceptance, so a time in the same second would never come.
    if at <= epoch_seconds(moment) and not form.get("run_if_past"):
        raise InvalidSchedule(f"{form['at']} ({tz.key}) is not in the future.", field="schedule.at")


def _anchored(form: dict[str, Any], moment: datetime) -> dict[str, Any]:
    tz = zone(form["timezone"])
    if "start" not in form:
        form.setdefault("anchor", rfc3339(moment))
    anchor = anchor_of(form, tz)
    assert anchor is not None
    day = to_local(anchor, tz).date()
    if form.get("unit") == "week":
        form.setdefault("weekdays", [WEEKDAYS[cron_weekday(day)]])
    if form.get("unit") == "month":
        form.setdefault("month_day", day.day)
    return normalise_schedule(form)


def _check_gap(plan: Plan, first: int, calendar: Calendar, minimum: int, *, field: str) -> None:
    for earlier, later in _close_pairs(plan, first, calendar):
        if later - earlier < minimum:
            raise InvalidSchedule(
                f"Fires {later - earlier} s apart, at {local_text(from_seconds(earlier), plan.tz)} and then "
                f"{local_text(from_seconds(later), plan.tz)}; the least allowed is {minimum} s.",
                field=field,
            )


def _close_pairs(plan: Plan, first: int, calendar: Calendar) -> Iterator[tuple[int, int]]:
    """Pairs of neighbouring fires of one year; the closest pair is among them.

    Dates on which the clocks do not change all have the same times, so one date yields the closest pair for all.
    """
    until = first + _YEAR if plan.last is None else min(first + _YEAR, plan.last)
    if isinstance(plan, IntervalPlan):
        if first + plan.step <= until:
            yield first, first + plan.step
        return
    pattern: Sequence[int] | None = None
    previous: int | None = None
    for batch in plan.batches(first - 1, calendar, with_skipped=True):
        inside = batch.within(first, until)
        if inside is None:
            if batch.first > until:
                return
            continue
        if inside.times is not pattern:
            pattern = inside.times
            closest = closest_pair(pattern)
            if closest:
                yield inside.base + closest[0], inside.base + closest[1]
        if previous is not None:
            yield previous, inside.first
        previous = inside.last
