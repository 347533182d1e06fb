"""A schedule compiled to a plan, which yields its fires as ascending UTC seconds. Plans are cached."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import dropwhile
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from chalicelib.core.fields import read_instant
from chalicelib.core.instants import floor_second, rfc3339
from chalicelib.core.local_time import aware_utc, epoch_seconds, from_seconds, instant_showing, to_local, zone
from chalicelib.core.schedules import cron
from chalicelib.core.schedules.business_days import WEEKENDS_OFF, Calendar, OnNonBusiness, rolled
from chalicelib.core.schedules.dst import Dated, DayFires, DstPolicy, DstRule, fires_of_dates, latest_of_dates
from chalicelib.core.schedules.form import UNIT_SECONDS, normalise_schedule, read_time
from chalicelib.core.schedules.month_days import cron_weekday
from chalicelib.core.schedules.recurrence import (
    EPOCH_DATE,
    EveryDays,
    EveryMonths,
    EveryWeeks,
    read_month_day,
    read_weekday,
)
from chalicelib.errors import InvalidSchedule

# A date moves at most this far from a day off: the longest holiday, and a month for `modified_following`.
_ROLL_REACH = timedelta(days=92)
# A fold repeats up to a day, and a move of the date line shifts local time by a day.
_CHANGE_REACH = timedelta(days=2)


class Dates(Protocol):
    """Something that fires on dates."""

    def dates(self, first: date) -> Iterator[date]:
        """From a date on, ascending."""

    def dates_back(self, last: date) -> Iterator[date]:
        """From a date back, descending."""


@dataclass(frozen=True)
class Plan(ABC):
    """`first` and `last` bound the fires, both inclusive; None is no bound."""

    tz: ZoneInfo
    first: int | None
    last: int | None

    @abstractmethod
    def batches(self, after: int, calendar: Calendar, *, with_skipped: bool) -> Iterator[DayFires]:
        """The fires after an instant, ascending; the first batch may hold earlier ones too."""

    def walk(self, after: int, calendar: Calendar, *, with_skipped: bool = False) -> Iterator[tuple[int, DayFires]]:
        """The fires strictly after an instant and within the bounds, each with the batch that has its flags."""
        if self.first is not None:
            after = max(after, self.first - 1)
        for batch in self.batches(after, calendar, with_skipped=with_skipped):
            for fire in batch.after(after):
                if self.last is not None and fire > self.last:
                    return
                yield fire, batch

    def latest(self, until: int, calendar: Calendar, *, with_skipped: bool = False) -> int | None:
        """The last fire at or before an instant and within the bounds; None when there was none in 60 years."""
        found = self._latest(until if self.last is None else min(until, self.last), calendar, with_skipped=with_skipped)
        return None if found is None or (self.first is not None and found < self.first) else found

    @abstractmethod
    def _latest(self, until: int, calendar: Calendar, *, with_skipped: bool) -> int | None:
        """The last fire at or before an instant, also outside the bounds."""


@dataclass(frozen=True)
class NowPlan(Plan):
    """Has no fires: the task is started when it is accepted."""

    def batches(self, after: int, calendar: Calendar, *, with_skipped: bool) -> Iterator[DayFires]:
        return iter(())

    def _latest(self, until: int, calendar: Calendar, *, with_skipped: bool) -> int | None:
        return None


@dataclass(frozen=True)
class OncePlan(Plan):
    at: int

    def _latest(self, until: int, calendar: Calendar, *, with_skipped: bool) -> int | None:
        return self.at if self.at <= until else None

    def batches(self, after: int, calendar: Calendar, *, with_skipped: bool) -> Iterator[DayFires]:
        yield DayFires(self.at, (0,))


@dataclass(frozen=True)
class IntervalPlan(Plan):
    """Elapsed time: `anchor + k * step`. Daylight saving changes do not move it."""

    anchor: int
    step: int

    def _latest(self, until: int, calendar: Calendar, *, with_skipped: bool) -> int | None:
        return until - (until - self.anchor) % self.step

    def batches(self, after: int, calendar: Calendar, *, with_skipped: bool) -> Iterator[DayFires]:
        fire = after + 1 + (self.anchor - after - 1) % self.step
        while fire < _END_OF_TIME:
            yield DayFires(fire, (0,))
            fire += self.step


_END_OF_TIME = epoch_seconds(datetime.fromisoformat("2600-01-01T00:00:00+00:00"))


@dataclass(frozen=True)
class DatePlan(Plan):
    """Local time: dates, each with the same times of day."""

    source: Dates
    times: Sequence[int]
    dst_rule: DstRule
    business_day_rule: OnNonBusiness

    def batches(self, after: int, calendar: Calendar, *, with_skipped: bool) -> Iterator[DayFires]:
        begin = to_local(from_seconds(after), self.tz).date() - _CHANGE_REACH
        dates = self._rolled(self.source.dates(begin - self._roll_reach), calendar, with_skipped)
        kept = dropwhile(lambda dated: dated[0] < begin, dates)
        return fires_of_dates(kept, self.times, self.tz, self.dst_rule)

    def is_due_on(self, day: date, calendar: Calendar | None) -> bool:
        """Whether the schedule fires on a local date, days off under `skip` included."""
        dates = self._rolled(self.source.dates(day - self._roll_reach), calendar or WEEKENDS_OFF, with_skipped=True)
        return next((found for found, _ in dates if found >= day), None) == day

    def _latest(self, until: int, calendar: Calendar, *, with_skipped: bool) -> int | None:
        end = to_local(from_seconds(until), self.tz).date() + _CHANGE_REACH
        dates = self._rolled(self.source.dates_back(end + self._roll_reach), calendar, with_skipped)
        kept = dropwhile(lambda dated: dated[0] > end, dates)
        return latest_of_dates(kept, self.times, self.tz, self.dst_rule, until=until)

    @property
    def _roll_reach(self) -> timedelta:
        still = (OnNonBusiness.RUN, OnNonBusiness.SKIP)
        return timedelta(0) if self.business_day_rule in still else _ROLL_REACH

    def _rolled(self, dates: Iterator[date], calendar: Calendar, with_skipped: bool) -> Iterator[Dated]:
        rule = self.business_day_rule
        return rolled(dates, calendar, OnNonBusiness.RUN if rule is OnNonBusiness.SKIP and with_skipped else rule)


def compile_plan(schedule: Mapping[str, Any]) -> Plan:
    """The plan of a schedule as the API gives it, or InvalidSchedule."""
    if not isinstance(schedule, Mapping):
        raise InvalidSchedule("A schedule is an object.", field="schedule")
    try:
        key = json.dumps(schedule, sort_keys=True, default=_instant_text)
    except TypeError as error:
        raise InvalidSchedule("A schedule holds JSON values only.", field="schedule") from error
    return _compiled(key)


def _instant_text(value: object) -> str:
    if isinstance(value, datetime):
        return rfc3339(floor_second(aware_utc(value, field="schedule")))
    raise TypeError(type(value).__name__)


@lru_cache(maxsize=2048)
def _compiled(key: str) -> Plan:
    form = normalise_schedule(json.loads(key))
    tz = zone(form["timezone"])
    ends = [
        epoch_seconds(read_instant(form[end], tz, field=f"schedule.{end}")) if end in form else None
        for end in ("start", "end")
    ]
    return _BUILDERS[form["type"]](form, tz, ends[0], ends[1])


def _now(form: Mapping[str, Any], tz: ZoneInfo, first: int | None, last: int | None) -> Plan:
    return NowPlan(tz, first, last)


def _once(form: Mapping[str, Any], tz: ZoneInfo, first: int | None, last: int | None) -> Plan:
    # In a gap it fires when the gap ends: the zone's rules may have changed since the schedule was accepted.
    at = instant_showing(datetime.fromisoformat(form["at"]), tz, fold=form.get("fold", 0))
    return OncePlan(tz, first, last, at)


def _interval(form: Mapping[str, Any], tz: ZoneInfo, first: int | None, last: int | None) -> Plan:
    anchor = anchor_of(form, tz)
    step = form["every"] * UNIT_SECONDS[form["unit"]]
    return IntervalPlan(tz, first, last, epoch_seconds(anchor) if anchor else 0, step)


def _calendar(form: Mapping[str, Any], tz: ZoneInfo, first: int | None, last: int | None) -> Plan:
    at = read_time(form["at"], field="schedule.at")
    instant = anchor_of(form, tz)
    anchor = to_local(instant, tz).date() if instant else None
    source: Dates
    if form["unit"] == "day":
        source = EveryDays(form["every"], anchor or EPOCH_DATE)
    elif form["unit"] == "week":
        if "weekdays" in form:
            weekdays = frozenset(read_weekday(day, field="schedule.weekdays") for day in form["weekdays"])
        elif anchor:
            weekdays = frozenset({cron_weekday(anchor)})
        else:
            raise InvalidSchedule("Weekdays are needed.", field="schedule.weekdays")
        week_start = read_weekday(form["week_start"], field="schedule.week_start")
        source = EveryWeeks(form["every"], anchor or EPOCH_DATE, weekdays, week_start)
    else:
        if "month_day" not in form and anchor is None:
            raise InvalidSchedule("A day of the month is needed.", field="schedule.month_day")
        day = read_month_day(form.get("month_day", anchor.day if anchor else 1), field="schedule.month_day")
        source = EveryMonths(form["every"], anchor or EPOCH_DATE, day, form["if_missing"] == "clamp")
    times = (at.hour * 3600 + at.minute * 60 + at.second,)
    return DatePlan(tz, first, last, source, times, _dst_rule(form, wild=False), _business_day_rule(form))


def _cron(form: Mapping[str, Any], tz: ZoneInfo, first: int | None, last: int | None) -> Plan:
    parsed = cron.parse(form["expression"])
    return DatePlan(tz, first, last, parsed, parsed.times, _dst_rule(form, wild=parsed.wild), _business_day_rule(form))


_BUILDERS = {"now": _now, "once": _once, "interval": _interval, "calendar": _calendar, "cron": _cron}


def anchor_of(form: Mapping[str, Any], tz: ZoneInfo) -> datetime | None:
    """The instant from which periods are counted: the schedule's start, else when it was accepted."""
    text = form.get("start", form.get("anchor"))
    return read_instant(text, tz, field="schedule.anchor") if text else None


def _dst_rule(form: Mapping[str, Any], *, wild: bool) -> DstRule:
    return DstRule.of(DstPolicy(form.get("dst_policy", "vixie")), wild=wild)


def _business_day_rule(form: Mapping[str, Any]) -> OnNonBusiness:
    return OnNonBusiness(form.get("on_non_business", "run"))
