"""Days of a month: its length, the nearest working day, and whether a date meets cron's `L`, `W` and `#`."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import date, timedelta

from chalicelib.core.schedules.cron_fields import DaySpecial, LastDay, NearestWeekday, NthWeekday

LONGEST_MONTH = {month: calendar.monthrange(2024, month)[1] for month in range(1, 13)}


def cron_weekday(day: date) -> int:
    """Sunday is 0."""
    return day.isoweekday() % 7


def month_length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def nearest_weekday(day: date) -> date:
    """Friday for a Saturday and Monday for a Sunday; when that is in another month, two days the other way."""
    weekday = day.isoweekday()
    if weekday == 6:
        return day - timedelta(days=1) if day.day > 1 else day + timedelta(days=2)
    if weekday == 7:
        return day + timedelta(days=1) if day.day < month_length(day) else day - timedelta(days=2)
    return day


def _is_last_day(special: LastDay, day: date) -> bool:
    target = month_length(day) - special.before
    if target < 1:
        return False
    wanted = day.replace(day=target)
    return day == (nearest_weekday(wanted) if special.weekday else wanted)


def _is_nearest(special: NearestWeekday, day: date) -> bool:
    return special.day <= month_length(day) and day == nearest_weekday(day.replace(day=special.day))


def _is_nth(special: NthWeekday, day: date) -> bool:
    if cron_weekday(day) != special.weekday:
        return False
    return (day.day - 1) // 7 + 1 == special.nth if special.nth else day.day + 7 > month_length(day)


_CHECKS: dict[type, Callable[..., bool]] = {LastDay: _is_last_day, NearestWeekday: _is_nearest, NthWeekday: _is_nth}


def meets(special: DaySpecial, day: date) -> bool:
    return _CHECKS[type(special)](special, day)
