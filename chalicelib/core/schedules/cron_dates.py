"""The dates of a cron expression, read off bit masks of whole months and years.

A month has one of 28 forms: its length, and the weekday on which it begins. A year has one of 14. An expression has one
mask for each form, made when it is first asked for. The next date costs at most a look at the masks of 40 years,
however many conditions the day fields list and however rarely they meet.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from chalicelib.core.schedules.cron_fields import YEAR, Field, LastDay, NearestWeekday, NthWeekday
from chalicelib.core.schedules.month_days import nearest_weekday_in

# 29 February on a given weekday is the rarest date: across a year such as 2100 it takes 40 years. After so many years
# without a fire there is none at all.
RAREST_YEARS = 40


@dataclass(frozen=True)
class CronDates:
    """The dates that meet the day of month, the month and the weekday. `both`: the two day fields must both hold."""

    day: Field
    month: Field
    weekday: Field
    year: Field
    both: bool
    _of_years: dict[tuple[bool, int], int] = field(default_factory=dict, compare=False, repr=False)
    _of_months: dict[tuple[int, int], int] = field(default_factory=dict, compare=False, repr=False)

    def dates(self, first: date) -> Iterator[date]:
        """From a date on, ascending, to the end of the year 2199."""
        for year in self._years(range(first.year, YEAR.high + 1)):
            new_year = date(year, 1, 1).toordinal()
            passed = max(0, first.toordinal() - new_year)
            mask = self._mask(year) >> passed << passed
            while mask:
                lowest = mask & -mask
                yield date.fromordinal(new_year + lowest.bit_length() - 1)
                mask ^= lowest

    def dates_back(self, last: date) -> Iterator[date]:
        """From a date back, descending."""
        for year in self._years(range(min(last.year, YEAR.high), 0, -1)):
            new_year = date(year, 1, 1).toordinal()
            mask = self._mask(year) & ((1 << max(0, last.toordinal() - new_year + 1)) - 1)
            while mask:
                highest = mask.bit_length() - 1
                yield date.fromordinal(new_year + highest)
                mask ^= 1 << highest

    def _years(self, years: range) -> Iterator[int]:
        """Those of the expression that have a fire, in the order given."""
        if not self.year.full:
            yield from (year for year in sorted(self.year.values, reverse=years.step < 0) if year in years)
            return
        empty = 0
        for year in years:
            empty = 0 if self._mask(year) else empty + 1
            if empty > RAREST_YEARS:
                return
            if not empty:
                yield year

    def _mask(self, year: int) -> int:
        """Bit k is set when the expression fires on the k-th day of that year, from 0."""
        form = (calendar.isleap(year), calendar.weekday(year, 1, 1))
        if form not in self._of_years:
            self._of_years[form] = self._year_mask(year)
        return self._of_years[form]

    def _year_mask(self, year: int) -> int:
        mask = 0
        new_year = date(year, 1, 1).toordinal()
        for month in self.month.values:
            monday_is_0, length = calendar.monthrange(year, month)
            days = self._month_mask(length, (monday_is_0 + 1) % 7)
            mask |= days << (date(year, month, 1).toordinal() - new_year)
        return mask

    def _month_mask(self, length: int, first_weekday: int) -> int:
        form = (length, first_weekday)
        if form not in self._of_months:
            days = _days_of_month(self.day, length, first_weekday)
            weekdays = _days_of_weekdays(self.weekday, length, first_weekday)
            self._of_months[form] = days & weekdays if self.both else days | weekdays
        return self._of_months[form]


# Bit d - 1 stands for day d of the month. `first_weekday` is that of day 1, and Sunday is 0.


def _days_of_month(of: Field, length: int, first_weekday: int) -> int:
    days = set(of.values)
    for special in of.specials:
        match special:
            case LastDay(before=before, weekday=to_weekday):
                day = length - before
            case NearestWeekday(day=day):
                to_weekday = True
            case _:
                raise TypeError(special)
        if 1 <= day <= length:
            days.add(nearest_weekday_in(length, first_weekday, day) if to_weekday else day)
    return sum(1 << (day - 1) for day in days if day <= length)


def _days_of_weekdays(of: Field, length: int, first_weekday: int) -> int:
    days: set[int] = set()
    for weekday in of.values:
        days.update(range((weekday - first_weekday) % 7 + 1, length + 1, 7))
    for special in of.specials:
        if not isinstance(special, NthWeekday):
            raise TypeError(special)
        all_of_it = range((special.weekday - first_weekday) % 7 + 1, length + 1, 7)
        days.update(all_of_it[special.nth - 1 : special.nth] if special.nth else all_of_it[-1:])
    return sum(1 << (day - 1) for day in days)
