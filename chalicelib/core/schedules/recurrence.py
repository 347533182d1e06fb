"""The dates of a schedule of type `calendar`: every N days, weeks or months, counted from an anchor date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count

from chalicelib.core.schedules.cron_fields import WEEKDAYS, LastDay, NthWeekday
from chalicelib.core.schedules.month_days import cron_weekday, month_length, nearest_weekday
from chalicelib.errors import InvalidSchedule

MonthDay = int | LastDay | NthWeekday

# Periods are counted from here when a schedule has neither `start` nor `anchor`, as in a preview.
EPOCH_DATE = date(1970, 1, 1)

_EARLIEST, _LATEST = date(1840, 1, 1), date(2600, 1, 1)


@dataclass(frozen=True, slots=True)
class EveryDays:
    every: int
    anchor: date

    def dates(self, first: date) -> Iterator[date]:
        behind = (self.anchor - first).days % self.every
        day = first + timedelta(days=behind)
        while day < _LATEST:
            yield day
            day += timedelta(days=self.every)

    def dates_back(self, last: date) -> Iterator[date]:
        day = last - timedelta(days=(last - self.anchor).days % self.every)
        while day > _EARLIEST:
            yield day
            day -= timedelta(days=self.every)


@dataclass(frozen=True, slots=True)
class EveryWeeks:
    """`weekdays` and `week_start` as in cron: Sunday is 0."""

    every: int
    anchor: date
    weekdays: frozenset[int]
    week_start: int

    def dates(self, first: date) -> Iterator[date]:
        anchor = start_of_week(self.anchor, self.week_start)
        week = start_of_week(first, self.week_start)
        week -= timedelta(days=(week - anchor).days % (7 * self.every))
        while week < _LATEST:
            yield from (day for day in self._days_of(week) if day >= first)
            week += timedelta(weeks=self.every)

    def dates_back(self, last: date) -> Iterator[date]:
        anchor = start_of_week(self.anchor, self.week_start)
        week = start_of_week(last, self.week_start)
        week -= timedelta(days=(week - anchor).days % (7 * self.every))
        while week > _EARLIEST:
            yield from (day for day in reversed(self._days_of(week)) if day <= last)
            week -= timedelta(weeks=self.every)

    def _days_of(self, week: date) -> list[date]:
        return [week + timedelta(days=k) for k in sorted((day - self.week_start) % 7 for day in self.weekdays)]


@dataclass(frozen=True, slots=True)
class EveryMonths:
    """`clamp`: a day that the month does not have becomes the nearest day of it; else the month has no fire."""

    every: int
    anchor: date
    month_day: MonthDay
    clamp: bool

    def dates(self, first: date) -> Iterator[date]:
        begin = month_number(first)
        begin -= (begin - month_number(self.anchor)) % self.every
        for number in count(begin, self.every):
            month = date(number // 12, number % 12 + 1, 1)
            if month > _LATEST:
                return
            day = day_in_month(self.month_day, month, clamp=self.clamp)
            if day is not None and day >= first:
                yield day

    def dates_back(self, last: date) -> Iterator[date]:
        end = month_number(last)
        end -= (end - month_number(self.anchor)) % self.every
        for number in count(end, -self.every):
            month = date(number // 12, number % 12 + 1, 1)
            if month < _EARLIEST:
                return
            day = day_in_month(self.month_day, month, clamp=self.clamp)
            if day is not None and day <= last:
                yield day


def month_number(day: date) -> int:
    return day.year * 12 + day.month - 1


def start_of_week(day: date, week_start: int) -> date:
    return day - timedelta(days=(cron_weekday(day) - week_start) % 7)


def day_in_month(rule: MonthDay, month: date, *, clamp: bool) -> date | None:
    length = month_length(month)
    if isinstance(rule, int):
        wanted = rule
    elif isinstance(rule, LastDay):
        wanted = length - rule.before
    else:
        firsts = (rule.weekday - cron_weekday(month)) % 7 + 1
        wanted = firsts + 7 * (rule.nth - 1) if rule.nth else firsts + 7 * ((length - firsts) // 7)
        if wanted > length:
            return month.replace(day=wanted - 7) if clamp else None
    if not 1 <= wanted <= length:
        if not clamp:
            return None
        wanted = max(1, min(wanted, length))
    day = month.replace(day=wanted)
    return nearest_weekday(day) if isinstance(rule, LastDay) and rule.weekday else day


_NTHS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": 0}
_LAST = re.compile(r"(?:last|l)(?:-(\d{1,2}))?")
_NTH = re.compile(r"([1-5])(?:st|nd|rd|th)?[- ]([a-z]+)")
_NAMED = re.compile(r"(first|second|third|fourth|fifth|last)[- ]([a-z]+)")
_HASH = re.compile(r"([a-z]+)#([1-5]|last)")


def read_weekday(value: object, *, field: str) -> int:
    """From `MON`, `monday` or cron's number (Sunday is 0 or 7) to cron's number: Sunday is 0."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 7:
        return value % 7
    if isinstance(value, str) and value.upper() in _NAMES:
        return _NAMES[value.upper()]
    raise InvalidSchedule(f"{value!r} is not a weekday; use MON to SUN.", field=field)


_FULL = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
_NAMES = {name: k for names in (WEEKDAYS, _FULL) for k, name in enumerate(names)}


def read_month_day(value: object, *, field: str) -> MonthDay:
    """1..31, `last`, `last-3`, `last-weekday`, `TUE#2`, `FRI#last`; also `2nd-tue`, `second tuesday`, `last-fri`."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 31:
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    if text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= 31:
        return int(text)
    if (match := _LAST.fullmatch(text)) and int(match[1] or 0) <= 30:
        return LastDay(int(match[1] or 0))
    if text in ("last-weekday", "last weekday", "lw"):
        return LastDay(0, weekday=True)
    if match := _HASH.fullmatch(text):
        return NthWeekday(read_weekday(match[1], field=field), 0 if match[2] == "last" else int(match[2]))
    if match := _NTH.fullmatch(text):
        return NthWeekday(read_weekday(match[2], field=field), int(match[1]))
    if match := _NAMED.fullmatch(text):
        return NthWeekday(read_weekday(match[2], field=field), _NTHS[match[1]])
    raise InvalidSchedule(f"{value!r} is not a day of the month: 1-31, last, last-3, TUE#2, FRI#last.", field=field)


def month_day_text(rule: MonthDay) -> int | str:
    if isinstance(rule, int):
        return rule
    if isinstance(rule, LastDay):
        return "last-weekday" if rule.weekday else f"last-{rule.before}" if rule.before else "last"
    return f"{WEEKDAYS[rule.weekday]}#{rule.nth or 'last'}"
