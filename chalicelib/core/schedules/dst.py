"""From dates and times of day to instants, also across daylight saving changes.

WILD is a cron expression whose minute or hour text starts with `*`. FIXED is every other expression, and every schedule
of type `calendar`. A gap is the local time that a change skips, a fold the local time that comes twice.

    dst_policy    gap                                                             fold
    vixie WILD    skipped                                                         both passes
    vixie FIXED   all in one gap: ONE fire at its end; in a gap over 3 h: none    first pass
    literal       skipped                                                         both passes
    skip_once     skipped                                                         first pass
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from chalicelib.core.local_time import DAY, Gap, instants_showing, naive_seconds

# A longer gap is a move of the date line, not daylight saving: its local times never fire.
LONGEST_SHIFT = 3 * 3600

_ORDINAL_1970 = date(1970, 1, 1).toordinal()


class DstPolicy(StrEnum):
    VIXIE = "vixie"
    LITERAL = "literal"
    SKIP_ONCE = "skip_once"


class Flag(StrEnum):
    """What a preview says about a fire."""

    GAP_SHIFTED = "gap_shifted"  # its local time does not exist that day; it fires when the gap ends
    FOLD_FIRST = "fold_first"  # its local time comes twice that day; this is the first
    FOLD_SECOND = "fold_second"
    HOLIDAY_MOVED = "holiday_moved"  # moved off a day that is not a working day
    BEYOND_CALENDAR = "beyond_calendar"  # the calendar does not reach this date: holidays are not known


@dataclass(frozen=True, slots=True)
class DstRule:
    """What a schedule does with local times that a change skips, or that come twice."""

    shift_gaps: bool
    both_passes: bool

    @classmethod
    def of(cls, policy: DstPolicy, *, wild: bool) -> DstRule:
        if policy is DstPolicy.VIXIE:
            return cls(shift_gaps=not wild, both_passes=wild)
        return cls(shift_gaps=False, both_passes=policy is DstPolicy.LITERAL)


@dataclass(frozen=True, slots=True)
class DayFires:
    """The fires of one local date: `base + t` for each of `times`, ascending, in UTC seconds.

    `flags` hold for all of them, `marks` for single ones.
    """

    base: int
    times: Sequence[int]
    flags: frozenset[Flag] = frozenset()
    marks: Mapping[int, frozenset[Flag]] = field(default_factory=dict)

    def after(self, instant: int) -> Iterator[int]:
        for k in range(bisect_right(self.times, instant - self.base), len(self.times)):
            yield self.base + self.times[k]

    def flags_of(self, fire: int) -> frozenset[Flag]:
        return self.flags | self.marks.get(fire, frozenset())


def fires_of_dates(
    dates: Iterable[tuple[date, frozenset[Flag]]], times: tuple[int, ...], tz: ZoneInfo, dst_rule: DstRule
) -> Iterator[DayFires]:
    """The fires of ascending dates, ascending and without repeats.

    After a change near midnight two dates can overlap (the clocks of Saint John's once went back at 00:01). So the
    fires of a date with a change are merged with those of the next date before they are yielded.
    """
    held: DayFires | None = None
    for day, flags in dates:
        base = (day.toordinal() - _ORDINAL_1970) * DAY
        offset = _only_offset(day, tz)
        found = (
            _across_change(day, times, tz, dst_rule, flags) if offset is None else DayFires(base - offset, times, flags)
        )
        if held is not None:
            found = _merge(held, found)
            held = None
        if offset is None:
            held = found
        else:
            yield found
    if held is not None:
        yield held


def _only_offset(day: date, tz: ZoneInfo) -> int | None:
    """The one offset from UTC of the whole date, or None when the clocks change on it."""
    found = {
        datetime.combine(day, edge, tz).replace(fold=fold).utcoffset() for edge in (time(), _LAST) for fold in (0, 1)
    }
    if len(found) > 1:
        return None
    (offset,) = found
    assert offset is not None
    return int(offset.total_seconds())


_LAST = time(23, 59, 59)


# Cached: a schedule is asked for its next fire many times, and a date with a change takes the most work.
@lru_cache(maxsize=128)
def _across_change(
    day: date, times: tuple[int, ...], tz: ZoneInfo, dst_rule: DstRule, flags: frozenset[Flag]
) -> DayFires:
    midnight = datetime.combine(day, time())
    base = naive_seconds(midnight)
    found: set[int] = set()
    shifted: set[int] = set()
    skipped = range(0)
    for second in times:
        if base + second in skipped:
            continue
        showing = instants_showing(midnight + timedelta(seconds=second), tz)
        if not isinstance(showing, Gap):
            found.update(showing if dst_rule.both_passes else showing[:1])
            continue
        skipped = showing.skipped
        if dst_rule.shift_gaps and len(skipped) <= LONGEST_SHIFT:
            shifted.add(showing.end)
    marks = {fire: frozenset({Flag.GAP_SHIFTED}) for fire in shifted - found}
    return DayFires(0, sorted(found | shifted), flags, marks)


def _merge(a: DayFires, b: DayFires) -> DayFires:
    """The fires of both, ascending. A fire that is in both keeps the flags that both give it."""
    flags: dict[int, frozenset[Flag]] = {}
    for part in (a, b):
        for fire in part.after(part.base - 1):
            own = part.flags_of(fire)
            flags[fire] = flags[fire] & own if fire in flags else own
    return DayFires(0, sorted(flags), marks={fire: own for fire, own in flags.items() if own})
