"""Random cron expressions together with what they mean, told without the code under test."""

from __future__ import annotations

import calendar
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

Meets = Callable[[date], bool]


@dataclass(frozen=True)
class Known:
    """An expression of minutes and its meaning as plain sets and predicates."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    months: frozenset[int]
    day: Meets

    @property
    def wild(self) -> bool:
        minute, hour, *_ = self.text.split()
        return minute[0] == "*" or hour[0] == "*"

    def at(self, local: datetime) -> bool:
        return (
            local.minute in self.minutes
            and local.hour in self.hours
            and local.month in self.months
            and self.day(local.date())
        )


def number_field(pick: random.Random, low: int, high: int) -> tuple[str, frozenset[int]]:
    everything = range(low, high + 1)
    match pick.randrange(7):
        case 0 | 1:
            return "*", frozenset(everything)
        case 2:
            step = pick.randrange(1, high + 2)
            return f"*/{step}", frozenset(range(low, high + 1, step))
        case 3:
            value = pick.choice(everything)
            return str(value), frozenset({value})
        case 4:
            first, last = sorted(pick.choices(everything, k=2))
            step = pick.randrange(1, 6)
            return f"{first}-{last}/{step}", frozenset(range(first, last + 1, step))
        case 5:
            first, last = pick.choices(everything, k=2)
            walked = [first]
            while walked[-1] != last:
                walked.append(low if walked[-1] == high else walked[-1] + 1)
            step = pick.randrange(1, 4)
            return f"{first}-{last}/{step}", frozenset(walked[::step])
        case _:
            values = pick.sample(everything, k=pick.randrange(2, 5))
            return ",".join(map(str, values)), frozenset(values)


def length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def nearest_working(day: date) -> date:
    """By search: the closest Monday..Friday of the month, Saturday preferring before and Sunday after."""
    weekday = day.isoweekday()
    if weekday < 6:
        return day
    order = (-1, 2) if weekday == 6 else (1, -2)
    for step in order:
        found = day + timedelta(days=step)
        if found.month == day.month and found.isoweekday() < 6:
            return found
    raise AssertionError(day)


def special_day(pick: random.Random) -> tuple[str, Meets]:
    match pick.randrange(5):
        case 0:
            return "L", lambda day: day.day == length(day)
        case 1:
            n = pick.randrange(1, 31)
            return f"L-{n}", lambda day: day.day == length(day) - n
        case 2:
            return "LW", lambda day: day == nearest_working(day.replace(day=length(day)))
        case 3:
            n = pick.randrange(0, 8)
            return f"L-{n}W", lambda day: day == nearest_working(day.replace(day=length(day) - n))
        case _:
            n = pick.randrange(1, 32)
            return f"{n}W", lambda day: n <= length(day) and day == nearest_working(day.replace(day=n))


def special_weekday(pick: random.Random) -> tuple[str, Meets]:
    weekday = pick.randrange(7)
    if pick.random() < 0.3:
        return f"{weekday}L", lambda day: day.isoweekday() % 7 == weekday and day.day + 7 > length(day)
    n = pick.randrange(1, 6)
    return f"{weekday}#{n}", lambda day: day.isoweekday() % 7 == weekday and (day.day + 6) // 7 == n


def day_field(pick: random.Random) -> tuple[str, Meets]:
    text, values = number_field(pick, 1, 31)
    if pick.random() < 0.3 and text != "*":
        special, meets = special_day(pick)
        return (
            (f"{text},{special}", lambda day: day.day in values or meets(day))
            if pick.random() < 0.5
            else (
                special,
                meets,
            )
        )
    return text, lambda day: day.day in values


def weekday_field(pick: random.Random) -> tuple[str, Meets]:
    text, values = number_field(pick, 0, 6)
    if pick.random() < 0.3 and text != "*":
        special, meets = special_weekday(pick)
        return (
            (f"{text},{special}", lambda day: day.isoweekday() % 7 in values or meets(day))
            if pick.random() < 0.5
            else (special, meets)
        )
    return text, lambda day: day.isoweekday() % 7 in values


def known(pick: random.Random) -> Known:
    minute, minutes = number_field(pick, 0, 59)
    hour, hours = number_field(pick, 0, 23)
    month, months = number_field(pick, 1, 12) if pick.random() < 0.3 else ("*", frozenset(range(1, 13)))
    # Mostly unrestricted days: a change of the clock must meet the expression to tell anything.
    day, meets_day = day_field(pick) if pick.random() < 0.4 else ("*", lambda day: True)
    weekday, meets_weekday = weekday_field(pick) if pick.random() < 0.4 else ("*", lambda day: True)
    if day[0] == "*" or weekday[0] == "*":

        def meets(on: date) -> bool:
            return meets_day(on) and meets_weekday(on)
    else:

        def meets(on: date) -> bool:
            return meets_day(on) or meets_weekday(on)

    return Known(f"{minute} {hour} {day} {month} {weekday}", minutes, hours, months, meets)
