"""Local time: from what a clock on the wall of a zone shows to instants, and back.

In `core` an instant is an integer of UTC seconds or an aware UTC datetime. A naive datetime is always a local time of a
zone that is named beside it; callers outside `core` never pass one. Nothing here compares datetimes of different zones:
in a fold (the hour that a clock shows twice) an aware datetime does not equal its own UTC value.
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


def aware_utc(value: object, *, field: str) -> datetime:
    """The same instant in UTC; InvalidSchedule for a naive datetime, whose zone cannot be known."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidSchedule("A datetime with a time zone is needed.", field=field)
    return value.astimezone(UTC)


def epoch_seconds(instant: datetime) -> int:
    """UTC seconds since 1970, floored."""
    return (instant - EPOCH) // timedelta(seconds=1)


def from_seconds(value: int) -> datetime:
    return EPOCH + timedelta(seconds=value)


@dataclass(frozen=True, slots=True)
class Gap:
    """Local times that a clock change skips.

    `end` is the first instant after the change; `skipped` is in seconds as `naive_seconds` counts them.
    """

    end: int
    skipped: range


def _offset(local: datetime, tz: ZoneInfo, fold: int) -> int:
    offset = local.replace(tzinfo=tz, fold=fold).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def naive_seconds(local: datetime) -> int:
    """A local time as a number: the seconds since 1970 if its zone were UTC."""
    return (local - datetime(1970, 1, 1)) // timedelta(seconds=1)  # noqa: DTZ001 - a count of local seconds, not an instant


def instants_showing(local: datetime, tz: ZoneInfo) -> tuple[int, ...] | Gap:
    """The instants at which a clock in `tz` shows `local`: one, or two in a fold (first pass first), or its gap."""
    first, second = _offset(local, tz, 0), _offset(local, tz, 1)
    shown = naive_seconds(local)
    if first == second:
        return (shown - first,)
    if first > second:
        return (shown - first, shown - second)
    # In a gap PEP 495 gives fold=0 the offset before the change and fold=1 the one after: the change lies between.
    before, after = shown - second, shown - first
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


def instant_showing(local: datetime, tz: ZoneInfo, *, fold: int = 0) -> int:
    """One instant for any local time: the end of the gap in a gap, and pass `fold` in a fold."""
    found = instants_showing(local, tz)
    if isinstance(found, Gap):
        return found.end
    return found[min(fold, len(found) - 1)]


def to_local(instant: datetime, tz: ZoneInfo) -> datetime:
    """What a clock in `tz` shows, as a naive datetime; its `fold` tells the pass in a fold."""
    return instant.astimezone(tz).replace(tzinfo=None)


def start_of_day(day: date, tz: ZoneInfo) -> datetime:
    """The first instant of a local date; of the day after it when the zone skipped that date."""
    return from_seconds(instant_showing(datetime.combine(day, time()), tz))


def local_text(instant: datetime, tz: ZoneInfo) -> str:
    """Local time with its offset, e.g. 2026-03-08T03:00:00-04:00."""
    return instant.astimezone(tz).isoformat(timespec="seconds")
