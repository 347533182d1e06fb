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

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from chalicelib.core.local_time import DAY, offset_at

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
    """Fires of one local date under one offset from UTC: `base + t` for each of `times`, ascending, in UTC seconds.

    `flags` hold for all of them. `times` is not empty.
    """

    base: int
    times: Sequence[int]
    flags: frozenset[Flag] = frozenset()

    @property
    def first(self) -> int:
        return self.base + self.times[0]

    @property
    def last(self) -> int:
        return self.base + self.times[-1]

    def after(self, instant: int) -> Iterator[int]:
        for k in range(bisect_right(self.times, instant - self.base), len(self.times)):
            yield self.base + self.times[k]

    def latest(self, until: int) -> int | None:
        """The last fire at or before an instant."""
        k = bisect_right(self.times, until - self.base)
        return self.base + self.times[k - 1] if k else None

    def within(self, first: int, last: int) -> DayFires | None:
        """Those from one instant to another, both included; None when there are none."""
        if first <= self.first and self.last <= last:
            return self
        begin, end = bisect_left(self.times, first - self.base), bisect_right(self.times, last - self.base)
        return DayFires(self.base, self.times[begin:end], self.flags) if begin < end else None


Dated = tuple[date, frozenset[Flag]]


def fires_of_dates(dates: Iterable[Dated], times: Sequence[int], tz: ZoneInfo, dst_rule: DstRule) -> Iterator[DayFires]:
    """The fires of ascending dates, ascending and without repeats.

    After a change near midnight two dates can overlap (the clocks of Saint John's once went back at 00:01). So the
    fires of a date with a change are put in order with those of the next date before they are yielded.
    """
    held: list[DayFires] = []
    for day, flags in dates:
        found = fires_of_date(day, flags, times, tz, dst_rule)
        changes = only_offset(day, tz) is None
        if held:
            found = _in_order([*held, *found])
            held = []
        if changes:
            held = found
        else:
            yield from found
    yield from held


def latest_of_dates(
    dates: Iterable[Dated], times: Sequence[int], tz: ZoneInfo, dst_rule: DstRule, *, until: int
) -> int | None:
    """The last fire at or before an instant, of descending dates; the first of them lies after it, in every zone."""
    best: int | None = None
    for day, flags in dates:
        fires = [each.latest(until) for each in fires_of_date(day, flags, times, tz, dst_rule)]
        found = max((fire for fire in fires if fire is not None), default=None)
        if best is not None:
            # The date before may overlap the one of the best, as above.
            return best if found is None else max(best, found)
        best = found
    return best


def fires_of_date(
    day: date, flags: frozenset[Flag], times: Sequence[int], tz: ZoneInfo, dst_rule: DstRule
) -> list[DayFires]:
    """The fires of one local date, in order; more than one part when the clocks change on it."""
    offset = only_offset(day, tz)
    if offset is not None:
        return [DayFires(_midnight(day) - offset, times, flags)]
    return [DayFires(part.base, part.times, part.flags | flags) for part in _across_change(day, times, tz, dst_rule)]


def _midnight(day: date) -> int:
    """The start of a date in seconds as `naive_seconds` counts them."""
    return (day.toordinal() - _ORDINAL_1970) * DAY


# Cached: a schedule is asked for its next fire many times, and a date is shared by all schedules of a zone.
@lru_cache(maxsize=8192)
def only_offset(day: date, tz: ZoneInfo) -> int | None:
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
_NO_FLAGS: frozenset[Flag] = frozenset()
_SHIFTED = frozenset({Flag.GAP_SHIFTED})


# Cached: the search for the changes of a date takes a hundred times as long as a date without.
@lru_cache(maxsize=256)
def _across_change(day: date, times: Sequence[int], tz: ZoneInfo, dst_rule: DstRule) -> tuple[DayFires, ...]:
    midnight = _midnight(day)
    found: list[DayFires] = []
    # What the clocks have shown before the part at hand, and where the part before it ended.
    shown = skipped_from = -(10**12)
    for begin, end, offset in _offsets(midnight - DAY, midnight + 2 * DAY, tz):
        gap = range(skipped_from, begin + offset)
        if dst_rule.shift_gaps and 0 < len(gap) <= LONGEST_SHIFT and _part(times, midnight, gap.start, gap.stop):
            found.append(DayFires(begin, (0,), _SHIFTED))
        first = begin + offset if dst_rule.both_passes else max(begin + offset, shown)
        part = _part(times, midnight, first, end + offset)
        if part:
            found.append(DayFires(midnight - offset, part))
        skipped_from = end + offset
        shown = max(shown, end + offset)
    return tuple(_in_order(found))


def _part(times: Sequence[int], midnight: int, first: int, end: int) -> Sequence[int]:
    """The times of the date that begins at `midnight` from one local time to before another."""
    return times[bisect_left(times, first - midnight) : bisect_left(times, end - midnight)]


def _offsets(begin: int, end: int, tz: ZoneInfo) -> Iterator[tuple[int, int, int]]:
    """The parts of a span of instants, each with its one offset from UTC. No offset lasts less than an hour."""
    since, offset = begin, offset_at(begin, tz)
    for instant in range(begin + 3600, end + 1, 3600):
        following = offset_at(instant, tz)
        if following != offset:
            change = _first_with(following, range(instant - 3600, instant + 1), tz)
            yield since, change, offset
            since, offset = change, following
    yield since, end, offset


def _first_with(offset: int, span: range, tz: ZoneInfo) -> int:
    return span[bisect_left(span, True, key=lambda instant: offset_at(instant, tz) == offset)]


def _in_order(parts: list[DayFires]) -> list[DayFires]:
    """The parts by time. A fire that a gap put off to its end is dropped where the schedule fires then anyway."""
    kept: list[DayFires] = []
    for part in sorted(parts, key=lambda part: (part.first, Flag.GAP_SHIFTED in part.flags)):
        if not kept or part.first != kept[-1].first:
            kept.append(part)
        elif Flag.GAP_SHIFTED in kept[-1].flags:
            kept[-1] = DayFires(part.base, part.times, kept[-1].flags & part.flags)
    return kept
