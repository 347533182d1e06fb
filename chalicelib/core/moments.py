"""Instants and wall-clock times: pinning a wall-clock time of a zone to the instants that show it.

Inside the rules an instant is an integer of UTC seconds or an aware UTC datetime; a naive datetime is always a
wall-clock time in a named zone, and never comes in from outside. (In a fold an aware datetime is not equal to its own
UTC value, so nothing here compares datetimes of other zones.)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from chalicelib.errors import InvalidSchedule

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def zone(name: object, *, field: str = "schedule.timezone") -> ZoneInfo:
    """The IANA zone of that name, or InvalidSchedule."""
    if not isinstance(name, str) or name not in _zone_names():
        raise InvalidSchedule(f"{name!r} is not an IANA time zone, such as Europe/Paris.", field=field)
    return ZoneInfo(name)


def aware(value: object, *, field: str) -> datetime:
    """The same instant in UTC. Naive datetimes are refused: nobody can know which zone they mean."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidSchedule("A datetime with a time zone is needed.", field=field)
    return value.astimezone(UTC)


def seconds(instant: datetime) -> int:
    """UTC seconds since 1970, floored."""
    return (instant - EPOCH) // timedelta(seconds=1)


def from_seconds(value: int) -> datetime:
    return EPOCH + timedelta(seconds=value)


def z(instant: datetime) -> str:
    """RFC 3339 in UTC, to the second, e.g. 2026-03-08T07:00:00Z."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if instant.year >= 1000 else instant.isoformat()


@dataclass(frozen=True, slots=True)
class Gap:
    """A wall-clock range that a clock change skips: the first instant after it, and what it skips.

    `skipped` is in seconds as `naive_seconds` counts them.
    """

    end: int
    skipped: range


def _offset(local: datetime, tz: ZoneInfo, fold: int) -> int:
    offset = local.replace(tzinfo=tz, fold=fold).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def naive_seconds(local: datetime) -> int:
    return (local - datetime(1970, 1, 1)) // timedelta(seconds=1)  # noqa: DTZ001 - a wall-clock count, not an instant


def pin(local: datetime, tz: ZoneInfo) -> tuple[int, ...] | Gap:
    """The instants at which a clock in `tz` shows `local`: one, two in a fold (first pass first), or the gap."""
    first, second = _offset(local, tz, 0), _offset(local, tz, 1)
    wall = naive_seconds(local)
    if first == second:
        return (wall - first,)
    if first > second:
        return (wall - first, wall - second)
    # In a gap, PEP 495 reads fold=0 with the offset before it and fold=1 with the one after: the change lies between.
    before, after = wall - second, wall - first
    while after - before > 1:
        middle = (before + after) // 2
        if offset_at(middle, tz) == first:
            before = middle
        else:
            after = middle
    return Gap(after, range(after + first, after + second))


def offset_at(instant: int, tz: ZoneInfo) -> int:
    offset = from_seconds(instant).astimezone(tz).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def settle(local: datetime, tz: ZoneInfo, *, fold: int = 0) -> int:
    """One instant for any wall-clock time: the gap's end in a gap, pass `fold` in a fold."""
    pinned = pin(local, tz)
    if isinstance(pinned, Gap):
        return pinned.end
    return pinned[min(fold, len(pinned) - 1)]


def wall(instant: datetime, tz: ZoneInfo) -> datetime:
    """What a clock in `tz` shows, without a zone; `fold` tells the pass."""
    return instant.astimezone(tz).replace(tzinfo=None)


def start_of_day(day: date, tz: ZoneInfo) -> datetime:
    """The first instant of a local date (of the day after, when that date never existed)."""
    return from_seconds(settle(datetime.combine(day, time()), tz))


def local_text(instant: datetime, tz: ZoneInfo) -> str:
    """Local time with its offset, e.g. 2026-03-08T03:00:00-04:00."""
    return instant.astimezone(tz).isoformat(timespec="seconds")
