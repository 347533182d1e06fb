"""Days of a month: cron's number of their weekday, how many there are, the nearest Monday to Friday."""

from __future__ import annotations

import calendar
from datetime import date


def cron_weekday(day: date) -> int:
    """Sunday is 0."""
    return day.isoweekday() % 7


def month_length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def nearest_weekday(day: date) -> date:
    """The Monday to Friday nearest to a date, inside its month."""
    first = cron_weekday(day.replace(day=1))
    return day.replace(day=nearest_weekday_in(month_length(day), first, day.day))


def nearest_weekday_in(length: int, first_weekday: int, day: int) -> int:
    """The same for a month of so many days that begins on that weekday.

    Friday for a Saturday and Monday for a Sunday; where that is in another month, two days the other way.
    """
    match (first_weekday + day - 1) % 7:
        case 6:
            return day - 1 if day > 1 else day + 2
        case 0:
            return day + 1 if day < length else day - 2
    return day
