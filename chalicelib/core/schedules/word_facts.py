"""What every language says about a cron expression: its values as patterns and runs, its times of day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from chalicelib.core.instants import parse
from chalicelib.core.local_time import instants_showing, to_local, zone
from chalicelib.core.schedules.cron import Expression
from chalicelib.core.schedules.cron_fields import Field

# More clock times than this are described as a pattern of hours and minutes.
MOST_CLOCK_TIMES = 6
# More years and runs of years than this are described by their number, the first and the last.
MOST_YEARS = 12


@dataclass(frozen=True, slots=True)
class Every:
    """Every n-th value of the field, also from its last value to its first; n = 1 is all values."""

    step: int


@dataclass(frozen=True, slots=True)
class Stepped:
    """Every n-th value from `first` to `last`; the step from the last to the first differs."""

    first: int
    last: int
    step: int


@dataclass(frozen=True, slots=True)
class Runs:
    """Single values `(a, a)` and runs of three or more `(a, b)`, ascending."""

    runs: tuple[tuple[int, int], ...]

    @property
    def one(self) -> int | None:
        return self.runs[0][0] if len(self.runs) == 1 and self.runs[0][0] == self.runs[0][1] else None


Pattern = Every | Stepped | Runs


def pattern(field: Field) -> Pattern:
    ordered = sorted(field.values)
    low, size = field.kind.low, field.kind.high - field.kind.low + 1
    if field.full:
        return Every(1)
    if len(ordered) > 1:
        step = ordered[1] - ordered[0]
        if size % step == 0 and ordered == list(range(low, field.kind.high + 1, step)):
            return Every(step)
        if step > 1 and len(ordered) > 3 and ordered == list(range(ordered[0], ordered[-1] + 1, step)):
            return Stepped(ordered[0], ordered[-1], step)
    return Runs(tuple(runs(ordered)))


def runs(values: Iterable[int]) -> list[tuple[int, int]]:
    """Two neighbours stay two values: "1 and 2" reads better than "1 to 2"."""
    found: list[list[int]] = []
    for value in sorted(values):
        if found and found[-1][1] == value - 1:
            found[-1][1] = value
        else:
            found.append([value, value])
    split: list[tuple[int, int]] = []
    for first, last in found:
        split += [(first, last)] if last - first != 1 else [(first, first), (last, last)]
    return split


def weekday_runs(weekdays: frozenset[int]) -> list[tuple[int, int]]:
    """Runs of cron's numbers, with Sunday as 7, so that a week begins on Monday."""
    return runs(day or 7 for day in weekdays)


def clock_times(expression: Expression) -> list[str] | None:
    """The times of day as `09:00` or `09:00:30`, when they are few."""
    fields = (expression.hour, expression.minute, expression.second)
    if expression.hour.full or expression.minute.full or expression.second.full:
        return None
    hours, minutes, seconds = (sorted(field.values) for field in fields)
    if len(hours) * len(minutes) * len(seconds) > MOST_CLOCK_TIMES:
        return None
    return [clock(h, m, s) for h, m, s in product(hours, minutes, seconds)]


@dataclass(frozen=True, slots=True)
class Hourly:
    """One fire in every `step`-th hour, from `first` to `last` (clock times). `all_day`: also across midnight."""

    step: int
    first: str
    last: str
    all_day: bool
    minute: int


def hourly(expression: Expression) -> Hourly | None:
    """The pattern of an expression with one fire per hour, on a full minute, in evenly spaced hours."""
    if expression.second.values != {0} or len(expression.minute.values) != 1:
        return None
    (minute,) = expression.minute.values
    hours = sorted(expression.hour.values)
    match pattern(expression.hour):
        case Every(step=step):
            all_day = True
        case Stepped(step=step):
            all_day = False
        case Runs(runs=((first, last),)) if last > first:
            step, all_day = 1, False
        case _:
            return None
    return Hourly(step, clock(hours[0], minute, 0), clock(hours[-1], minute, 0), all_day, minute)


def moment(text: str, timezone: str) -> str:
    """A stored instant as a clock of the zone shows it: `2026-05-01 00:00`; with the offset where that comes twice."""
    tz = zone(timezone)
    local = to_local(parse(text), tz)
    showing = instants_showing(local.replace(fold=0), tz)
    offset = local.replace(tzinfo=tz).strftime("%z") if isinstance(showing, tuple) and len(showing) > 1 else ""
    return (
        f"{local:%Y-%m-%d} {clock(local.hour, local.minute, local.second)}{offset and f' {offset[:3]}:{offset[3:5]}'}"
    )


def names_zone(form: Mapping[str, Any]) -> bool:
    """Whether a sentence about a schedule holds a local time, so that it has to name the zone."""
    if form["type"] == "interval":
        return "start" in form or "end" in form or ("anchor" in form and form["every"] != 1)
    return bool(form["type"] != "now")


def clock(hour: int, minute: int, second: int) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def short_time(text: str) -> str:
    """`02:00:00` as `02:00`."""
    return text.removesuffix(":00") if text.count(":") == 2 else text
