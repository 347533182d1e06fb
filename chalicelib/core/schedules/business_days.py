"""Calendars of working days, and moving the dates of a schedule off days off.

A calendar is data: its weekend, and for the years it covers the dates that differ from it. Outside those years only the
weekend is known: holidays are never guessed, and dates there get the flag `beyond_calendar`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from itertools import groupby, takewhile
from typing import Any

from chalicelib.core.schedules.dst import Flag
from chalicelib.errors import Invalid

# No holiday is longer: the search for a working day stops after it.
LONGEST_HOLIDAY = timedelta(days=60)
# A schedule that falls on so many days of the weekend in a row falls on nothing else. The most known is twelve years of
# Sundays: every Sunday, and 29 February. The days off that a calendar names end, so they do not count.
MOST_DAYS_OFF = 1000
_ONE = timedelta(days=1)
_NO_FLAGS: frozenset[Flag] = frozenset()


class OnNonBusiness(StrEnum):
    """What happens to a date that is not a working day."""

    RUN = "run"
    SKIP = "skip"
    NEXT = "next"
    PREVIOUS = "previous"
    MODIFIED_FOLLOWING = "modified_following"  # next, but previous where next leaves the month


@dataclass(frozen=True)
class Calendar:
    """`days`: True is a working day, False is off. `first` and `last`: the dates it covers; None is no bound."""

    version: str = "weekends"
    days: Mapping[date, bool] = field(default_factory=dict)
    first: date | None = None
    last: date | None = None
    weekend: frozenset[int] = frozenset({6, 7})  # ISO: Monday is 1
    # (day off, step) -> the first working day from it on: a long closure is walked once, not for each of its days.
    _first_working: dict[tuple[date, timedelta], date] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def accept(cls, value: Mapping[str, Any]) -> Calendar:
        """From `{version, days: {"2026-10-01": "off", "2026-10-10": "workday"}, first?, last?}`.

        Without `first` and `last` it covers the whole years in which its days lie.
        """
        days: dict[date, bool] = {}
        given = value.get("days") or {}
        if not isinstance(given, Mapping):
            raise Invalid("A mapping of dates to workday or off is needed.", field="calendar.days")
        for text, kind in given.items():
            if kind not in ("workday", "off"):
                raise Invalid("A day is workday or off.", field=f"calendar.days.{text}")
            days[_day(text, f"calendar.days.{text}")] = kind == "workday"
        first, last = (
            _day(value[end], f"calendar.{end}") if value.get(end) is not None else None for end in ("first", "last")
        )
        if days:
            first = first or date(min(days).year, 1, 1)
            last = last or date(max(days).year, 12, 31)
        if first and last and first > last:
            raise Invalid("The last day lies before the first.", field="calendar.last")
        return cls(version=str(value.get("version", "1")), days=days, first=first, last=last)

    def covers(self, day: date) -> bool:
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    def works(self, day: date) -> bool:
        return self.days.get(day, day.isoweekday() not in self.weekend)

    def roll(self, day: date, rule: OnNonBusiness) -> date | None:
        """The working day to which a date moves; None when it is skipped or no working day is near."""
        if rule is OnNonBusiness.RUN or self.works(day):
            return day
        if rule is OnNonBusiness.SKIP:
            return None
        if rule is OnNonBusiness.PREVIOUS:
            return self._next(day, -_ONE)
        found = self._next(day, _ONE)
        if rule is OnNonBusiness.MODIFIED_FOLLOWING and (found is None or found.month != day.month):
            return self._next(day, -_ONE)
        return found

    def _next(self, day: date, step: timedelta) -> date | None:
        passed: list[date] = []
        found = day + step
        while (found, step) not in self._first_working and not self.works(found):
            passed.append(found)
            found += step
        found = self._first_working.get((found, step), found)
        self._first_working.update(((off, step), found) for off in passed)
        return found if abs(found - day) <= LONGEST_HOLIDAY else None


WEEKENDS_OFF = Calendar()


def rolled(dates: Iterable[date], calendar: Calendar, rule: OnNonBusiness) -> Iterator[tuple[date, frozenset[Flag]]]:
    """Dates in order, ascending or descending, each moved by the rule; dates that move to the same day become one.

    Every rule keeps the order, so dates that become one are neighbours. Ends after so many days off without a fire that
    there will be none.
    """
    if rule is OnNonBusiness.RUN:
        yield from ((day, _NO_FLAGS) for day in dates)
        return
    off = 0

    def target(day: date) -> date | None:
        nonlocal off
        found = calendar.roll(day, rule)
        off = 0 if found else off + (day not in calendar.days)
        return found

    for day, sources in groupby(takewhile(lambda _: off < MOST_DAYS_OFF, dates), key=target):
        if day is None:
            continue
        flags = set()
        if day not in list(sources):
            flags.add(Flag.HOLIDAY_MOVED)
        if not calendar.covers(day):
            flags.add(Flag.BEYOND_CALENDAR)
        yield day, frozenset(flags)


def _day(text: object, field: str) -> date:
    if isinstance(text, date):
        return text
    try:
        return date.fromisoformat(str(text))
    except ValueError as error:
        raise Invalid(f"{text!r} is not a date.", field=field) from error
