"""From dates and times of day to instants, through the changes of the clock.

WILD is a cron expression whose minute or hour text starts with `*`; FIXED is every other, and kind `calendar`.

    dst_policy    gap                                                             fold
    vixie WILD    nothing is invented                                             both passes
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

from chalicelib.core.moments import DAY, Gap, naive_seconds, pin

# Longer gaps are moves of the date line, not summer time: what falls into them never was.
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
class Reading:
    """How a schedule reads wall-clock times that do not exist, or exist twice."""

    shift_gaps: bool
    both_passes: bool

    @classmethod
    def of(cls, policy: DstPolicy, *, wild: bool) -> Reading:
        if policy is DstPolicy.VIXIE:
            return cls(shift_gaps=not wild, both_passes=wild)
        return cls(shift_gaps=False, both_passes=policy is DstPolicy.LITERAL)


@dataclass(frozen=True, slots=True)
class Fires:
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


def fires(
    dates: Iterable[tuple[date, frozenset[Flag]]], times: tuple[int, ...], tz: ZoneInfo, reading: Reading
) -> Iterator[Fires]:
    """The fires of ascending dates, ascending and without repeats.

    A change near midnight lets two dates overlap (the clock of Saint John's once went back at 00:01), so the fires of a
    date with a change are held back and merged with those of the next.
    """
    held: Fires | None = None
    for day, flags in dates:
        base = (day.toordinal() - _ORDINAL_1970) * DAY
        offset = _only_offset(day, tz)
        found = _across_change(day, times, tz, reading, flags) if offset is None else Fires(base - offset, times, flags)
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
    """The offset from UTC in force all day, or None when a change of the clock touches the date."""
    found = {
        datetime.combine(day, edge, tz).replace(fold=fold).utcoffset() for edge in (time(), _LAST) for fold in (0, 1)
    }
    if len(found) > 1:
        return None
    (offset,) = found
    assert offset is not None
    return int(offset.total_seconds())


_LAST = time(23, 59, 59)


# A schedule is asked for its next fire again and again, also on the two days a year when that takes work.
@lru_cache(maxsize=128)
def _across_change(day: date, times: tuple[int, ...], tz: ZoneInfo, reading: Reading, flags: frozenset[Flag]) -> Fires:
    midnight = datetime.combine(day, time())
    base = naive_seconds(midnight)
    found: set[int] = set()
    shifted: set[int] = set()
    skipped = range(0)
    for second in times:
        if base + second in skipped:
            continue
        pinned = pin(midnight + timedelta(seconds=second), tz)
        if not isinstance(pinned, Gap):
            found.update(pinned if reading.both_passes else pinned[:1])
            continue
        skipped = pinned.skipped
        if reading.shift_gaps and len(skipped) <= LONGEST_SHIFT:
            shifted.add(pinned.end)
    marks = {fire: frozenset({Flag.GAP_SHIFTED}) for fire in shifted - found}
    return Fires(0, sorted(found | shifted), flags, marks)


def _merge(a: Fires, b: Fires) -> Fires:
    """Both, in order. A fire in both keeps only what is true of both."""
    flags: dict[int, frozenset[Flag]] = {}
    for part in (a, b):
        for fire in part.after(part.base - 1):
            own = part.flags_of(fire)
            flags[fire] = flags[fire] & own if fire in flags else own
    return Fires(0, sorted(flags), marks={fire: own for fire, own in flags.items() if own})
