"""A whole cron expression: parsed, written in canonical form, and walked date by date.

`m h dom mon dow`; with six fields the seconds come first, with seven the year comes last. croniter yields the dates: it
walks plain numbers, once for each group of day conditions that must hold together, and the dates of all groups are
merged. What croniter does not know, or reads differently (`LW`, `L-n`, `nW`, OR with `#`), filters its dates here.
Times of day become instants in `dst.py`; this module knows no zones.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import product

from chalicelib.core.schedules.cron_fields import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    YEAR,
    DaySpecial,
    Field,
    FieldKind,
    LastDay,
    NearestWeekday,
    NthWeekday,
    parse_field,
    refuse,
)
from chalicelib.core.schedules.month_days import LONGEST_MONTH, meets

MAX_LENGTH = 256
# A search for the next date stops after this many years. 29 February on a given weekday can take 40.
HORIZON_YEARS = 60

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_ALL_DAYS = frozenset(range(1, 32))
_ALL_WEEKDAYS = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class DayGroup:
    """Conditions on a date that must all hold."""

    days: frozenset[int] = _ALL_DAYS
    weekdays: frozenset[int] = _ALL_WEEKDAYS
    also: tuple[DaySpecial, ...] = ()

    def __and__(self, other: DayGroup) -> DayGroup:
        return DayGroup(self.days & other.days, self.weekdays & other.weekdays, self.also + other.also)


@dataclass(frozen=True)
class Expression:
    """A parsed expression; its text is the canonical form."""

    second: Field
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field
    year: Field

    def __str__(self) -> str:
        """The canonical text, with the fewest fields that keep the meaning."""
        fields = [self.minute, self.hour, self.day, self.month, self.weekday]
        if not self.year.full:
            fields = [self.second, *fields, self.year]
        elif self.second.values != {0}:
            fields = [self.second, *fields]
        return " ".join(map(str, fields))

    @property
    def wild(self) -> bool:
        """Whether the minute or hour text starts with `*`: `dst.py` treats such a schedule differently."""
        return self.minute.starred or self.hour.starred

    @property
    def day_rule(self) -> str | None:
        """How day of month and weekday combine when both are restricted: "or", "and" (Debian's rule); else None.

        As in Debian's cron the text counts: `1-31` is a restriction, although all days meet it.
        """
        if any(field.starred and field.full for field in (self.day, self.weekday)):
            return None
        return "and" if self.day.starred or self.weekday.starred else "or"

    @property
    def times(self) -> tuple[int, ...]:
        """The seconds of a day at which it fires, ascending."""
        return _times(self.hour.values, self.minute.values, self.second.values)

    def dates(self, first: date) -> Iterator[date]:
        """The dates on which it fires, from `first` on, ascending; ends where the next is more than 60 years later."""
        if self.year.full:
            yield from self._dates(first, date(YEAR.high, 12, 31))
            return
        for year in sorted(self.year.values):
            if year >= first.year:
                yield from self._dates(max(first, date(year, 1, 1)), date(year, 12, 31))

    def _dates(self, first: date, last: date) -> Iterator[date]:
        groups = self._groups()
        if self.month.full and DayGroup() in groups:
            day = first
            while day <= last:
                yield day
                day += timedelta(days=1)
            return
        previous: date | None = None
        for day in heapq.merge(*(_walk(group, self.month.values, first, last) for group in groups)):
            if day != previous:
                yield day
            previous = day

    def _groups(self) -> list[DayGroup]:
        by_day = _alternatives(self.day)
        by_weekday = _alternatives(self.weekday)
        if self.day_rule == "or":
            return by_day + by_weekday
        # One side is unrestricted or starred: both must hold, so each pair of alternatives is a group.
        return [a & b for a, b in product(by_day, by_weekday)]


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """Parse an expression of 5, 6 or 7 fields, or a macro; InvalidSchedule says what is wrong."""
    if not isinstance(text, str) or not text.strip():
        raise refuse("A cron expression is needed.")
    if len(text) > MAX_LENGTH:
        raise refuse(f"A cron expression has at most {MAX_LENGTH} characters.")
    if not text.isascii() or not text.replace("\t", " ").isprintable():
        raise refuse("A cron expression is plain ASCII.")
    text = text.strip()
    if text.startswith("@"):
        if text.lower() not in MACROS:
            raise refuse(f"{text!r} is not one of {', '.join(MACROS)}.")
        text = MACROS[text.lower()]
    parts = text.split()
    if len(parts) == 5:
        parts = ["0", *parts, "*"]
    elif len(parts) == 6:
        parts = [*parts, "*"]
    elif len(parts) != 7:
        raise refuse(
            f"A cron expression has 5 fields, 6 with seconds first, or 7 with the year last; this one has {len(parts)}."
        )
    kinds: list[FieldKind] = [SECOND, MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, YEAR]
    return Expression(*(parse_field(part, kind) for part, kind in zip(parts, kinds, strict=True)))


def canonical(text: str) -> str:
    """The form that is stored and shown: same meaning, fewest fields, idempotent."""
    return str(parse(text))


@lru_cache(maxsize=64)
def _times(hours: frozenset[int], minutes: frozenset[int], seconds: frozenset[int]) -> tuple[int, ...]:
    return tuple(h * 3600 + m * 60 + s for h in sorted(hours) for m in sorted(minutes) for s in sorted(seconds))


def _alternatives(field: Field) -> list[DayGroup]:
    """A day field as groups of which one must hold. A special's group has the numbers on which it can fall."""
    groups = []
    if field.values and field.kind is DAY_OF_MONTH:
        groups.append(DayGroup(days=field.values))
    elif field.values:
        groups.append(DayGroup(weekdays=field.values))
    for special in field.specials:
        weekdays = frozenset({special.weekday}) if isinstance(special, NthWeekday) else _ALL_WEEKDAYS
        groups.append(DayGroup(_ALL_DAYS.intersection(_within(special)), weekdays, (special,)))
    return groups


def _within(special: DaySpecial) -> range:
    match special:
        case NthWeekday(nth=0):
            return range(22, 32)
        case NthWeekday(nth=nth):
            return range(7 * nth - 6, 7 * nth + 1)
        case NearestWeekday(day=day):
            return range(day - 2, day + 3)
        case LastDay(before=before, weekday=nearest):
            near = 2 if nearest else 0
            return range(28 - before - near, 32 - before + near)


def _walk(group: DayGroup, months: frozenset[int], first: date, last: date) -> Iterator[date]:
    if not group.days or not group.weekdays:
        return
    if not any(min(group.days) <= LONGEST_MONTH[month] for month in months):
        return
    # Imported here: it costs a cold start 80 ms, and a schedule that fires every day does not need it.
    from croniter import CroniterBadDateError, croniter

    def text(values: frozenset[int], everything: frozenset[int]) -> str:
        return "*" if values == everything else ",".join(map(str, sorted(values)))

    days, weekdays = text(group.days, _ALL_DAYS), text(group.weekdays, _ALL_WEEKDAYS)
    normal = f"0 0 {days} {text(months, frozenset(range(1, 13)))} {weekdays}"
    walker = croniter(
        normal,
        datetime.combine(first, time()) - timedelta(seconds=1),
        day_or=False,
        max_years_between_matches=HORIZON_YEARS + 1,
    )
    give_up = _years_on(first)
    while True:
        try:
            day = walker.get_next(datetime).date()
        except CroniterBadDateError:
            return
        if day > last or day > give_up:
            return
        if all(meets(special, day) for special in group.also):
            give_up = _years_on(day)
            yield day


def _years_on(day: date) -> date:
    return day + timedelta(days=HORIZON_YEARS * 366)
