"""One field of a cron expression: from its text to values, and from values to the canonical text.

Grammar of a field: items joined by commas; an item is `*`, `?` (days only), `a`, `a-b`, each but `?` and `a` alone
with an optional `/n`; `a/n` goes from a to the end of the field. `a-a` is one value. A step in a range that wraps is
counted along the wrapped sequence: `23-3/2` is 23, 1, 3. Days of the month add `L`, `L-n`, `LW`, `L-nW`, `nW`; weekdays
add `x#n`, `xL`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from chalicelib.errors import InvalidSchedule

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")  # cron's order: Sunday is 0 (and 7)


@dataclass(frozen=True, slots=True)
class FieldKind:
    """What one position of an expression allows."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    question_mark: bool = False
    star_matters: bool = (
        False  # a leading `*` means more than "all values": it decides WILD (see dst.py), or AND for days
    )


SECOND = FieldKind("second", 0, 59)
MINUTE = FieldKind("minute", 0, 59, star_matters=True)
HOUR = FieldKind("hour", 0, 23, star_matters=True)
DAY_OF_MONTH = FieldKind("day of month", 1, 31, question_mark=True, star_matters=True)
MONTH = FieldKind("month", 1, 12, names=MONTHS)
DAY_OF_WEEK = FieldKind("day of week", 0, 6, names=WEEKDAYS, question_mark=True, star_matters=True)
YEAR = FieldKind("year", 1970, 2199)


@dataclass(frozen=True, slots=True)
class LastDay:
    """`L-n`, and with `weekday` `L-nW`: the n-th day before the month's last, or the working day nearest to it."""

    before: int
    weekday: bool = False

    def __str__(self) -> str:
        return "L" + (f"-{self.before}" if self.before else "") + ("W" if self.weekday else "")


@dataclass(frozen=True, slots=True)
class NearestWeekday:
    """`nW`: the Monday..Friday nearest to day n, inside the month."""

    day: int

    def __str__(self) -> str:
        return f"{self.day}W"


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """`x#n`, and with n = 0 `xL`: the n-th, or the last, weekday x of the month."""

    weekday: int
    nth: int

    def __str__(self) -> str:
        return f"{self.weekday}#{self.nth}" if self.nth else f"{self.weekday}L"


DaySpecial = LastDay | NearestWeekday | NthWeekday


@dataclass(frozen=True, slots=True)
class Field:
    """A parsed field. `starred`: its text began with `*` or `?`, and the kind's `star_matters`."""

    kind: FieldKind
    values: frozenset[int]
    starred: bool
    specials: tuple[DaySpecial, ...] = ()

    @property
    def full(self) -> bool:
        return len(self.values) == self.kind.high - self.kind.low + 1

    def __str__(self) -> str:
        """The canonical text: the same meaning always gives the same text."""
        if self.full:
            return "*" if self.starred or not self.kind.star_matters else f"{self.kind.low}-{self.kind.high}"
        items = [*_items(self.values, self.kind, starred=self.starred), *map(str, self.specials)]
        return ",".join(items)


def parse_field(text: str, kind: FieldKind) -> Field:
    values: set[int] = set()
    specials: dict[str, DaySpecial] = {}
    for item in text.upper().split(","):
        special = _special(item, kind)
        if special is not None:
            specials[str(special)] = special
        else:
            values.update(_values(item, kind))
    full = len(values) == kind.high - kind.low + 1
    ordered = () if full else tuple(sorted(specials.values(), key=_order))
    return Field(kind, frozenset(values), kind.star_matters and text[:1] in ("*", "?"), ordered)


def refuse(message: str) -> InvalidSchedule:
    return InvalidSchedule(message, field="schedule.expression")


def _values(item: str, kind: FieldKind) -> list[int]:
    body, slash, step_text = item.partition("/")
    step = 1
    if slash:
        if not step_text.isdigit() or len(step_text) > 4:
            raise refuse(f"{step_text!r} is not a step, in {item!r} ({kind.name}).")
        step = int(step_text)
        if step == 0:
            raise refuse(f"A step of 0 never moves, in {item!r} ({kind.name}).")
    if body == "*" or (body == "?" and kind.question_mark and not slash):
        return list(range(kind.low, kind.high + 1, step))
    if body == "?":
        raise refuse(f"'?' is only for days, not for the {kind.name}.")
    first_text, dash, last_text = body.partition("-")
    first = _number(first_text, kind, item)
    if not dash:
        if not slash:
            return [_fold_sunday(first, kind)]
        return list(range(_fold_sunday(first, kind), kind.high + 1, step))
    last = _number(last_text, kind, item)
    if first <= last:
        return sorted({_fold_sunday(value, kind) for value in range(first, last + 1, step)})
    first = _fold_sunday(first, kind)
    if kind is YEAR:
        raise refuse(f"Years do not wrap, in {item!r}.")
    size = kind.high - kind.low + 1
    length = (last - first) % size + 1
    return [kind.low + (first - kind.low + k) % size for k in range(0, length, step)]


def _number(text: str, kind: FieldKind, item: str) -> int:
    if text in kind.names:
        return kind.names.index(text) + kind.low
    high = 7 if kind is DAY_OF_WEEK else kind.high
    if not text.isdigit() or len(text) > 4 or not kind.low <= int(text) <= high:
        raise refuse(f"{text or item!r} is not a {kind.name} ({kind.low}-{high}).")
    return int(text)


def _fold_sunday(value: int, kind: FieldKind) -> int:
    return value % 7 if kind is DAY_OF_WEEK else value


_LAST_DAY = re.compile(r"L(?:-(\d{1,2}))?(W)?")
_NEAREST = re.compile(r"(\d{1,2})W")
_NTH = re.compile(r"([0-9A-Z]{1,3})#(\d{1,2})")
_LAST_WEEKDAY = re.compile(r"([0-9A-Z]{1,3}?)L")


def _special(item: str, kind: FieldKind) -> DaySpecial | None:
    if kind is DAY_OF_MONTH:
        if match := _LAST_DAY.fullmatch(item):
            before = int(match[1] or 0)
            if before > 30:
                raise refuse(f"No month has {before + 1} days, in {item!r}.")
            return LastDay(before, weekday=bool(match[2]))
        if match := _NEAREST.fullmatch(item):
            return NearestWeekday(_number(match[1], kind, item))
    if kind is DAY_OF_WEEK:
        if match := _NTH.fullmatch(item):
            nth = int(match[2])
            if not 1 <= nth <= 5:
                raise refuse(f"A month has a weekday at most 5 times, in {item!r}.")
            return NthWeekday(_number(match[1], kind, item) % 7, nth)
        if match := _LAST_WEEKDAY.fullmatch(item):
            return NthWeekday(_number(match[1], kind, item) % 7, 0)
    return None


def _order(special: DaySpecial) -> tuple[int, ...]:
    if isinstance(special, NearestWeekday):
        return (0, special.day)
    if isinstance(special, LastDay):
        return (1, -special.before, special.weekday)
    return (2, special.weekday, special.nth or 9)


def _items(values: frozenset[int], kind: FieldKind, *, starred: bool) -> list[str]:
    """The fewest plain items for these values, after one `*/n` that keeps a leading star where there was one."""
    rest = set(values)
    items = []
    if starred:
        step = next(n for n in range(2, kind.high + 2) if rest.issuperset(range(kind.low, kind.high + 1, n)))
        items.append(f"*/{step}")
        rest.difference_update(range(kind.low, kind.high + 1, step))
    ordered = sorted(rest)
    if (
        len(ordered) > 2
        and (step := ordered[1] - ordered[0]) > 1
        and ordered == list(range(ordered[0], ordered[-1] + 1, step))
    ):
        return [*items, f"{ordered[0]}-{ordered[-1]}/{step}"]
    runs: list[list[int]] = []
    for value in ordered:
        if runs and runs[-1][-1] == value - 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    for run in runs:
        if len(run) > 2:
            items.append(f"{run[0]}-{run[-1]}")
        else:
            items.extend(map(str, run))
    return items
