"""Instants and wall-clock times: reading them from JSON, pinning a wall-clock time to the instants that show it.

Inside the rules an instant is an integer of UTC seconds or an aware UTC datetime; a naive datetime is always a
wall-clock time in a named zone, and never comes in from outside. (In a fold an aware datetime is not equal to its own
UTC value, so nothing here compares datetimes of other zones.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from chalicelib.errors import InvalidSchedule

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.0+)?)?([Zz]|[+-]\d{2}:\d{2})?")


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
    """A wall-clock range that a clock change skips: its length and the first instant after it."""

    length: int
    end: int


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
    return Gap(second - first, after)


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


def known_keys(given: Mapping[str, Any], known: frozenset[str] | set[str], *, prefix: str, what: str) -> None:
    """Refuse keys that mean nothing here; a key holding null counts as absent."""
    for key, value in given.items():
        if value is not None and key not in known:
            raise InvalidSchedule(f"{key!r} means nothing for {what}.", field=f"{prefix}.{key}")


def whole(value: object, *, low: int, high: int, field: str) -> int:
    """A whole number within bounds; true and 3.0 are not whole numbers."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidSchedule(f"A whole number from {low} to {high} is needed.", field=field)
    return value


def flag(value: object, *, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidSchedule("true or false is needed.", field=field)
    return value


def one_of(value: object, choices: tuple[str, ...], *, field: str) -> str:
    if not isinstance(value, str) or value not in choices:
        raise InvalidSchedule(f"One of {', '.join(choices)} is needed.", field=field)
    return value


def read_local(value: object, *, field: str) -> datetime:
    """A wall-clock time from JSON text without an offset."""
    moment = _read(value, field=field)
    if moment.tzinfo is not None:
        raise InvalidSchedule("A local time without an offset is needed.", field=field)
    return moment


def has_offset(value: object) -> bool:
    return isinstance(value, datetime) or (
        isinstance(value, str) and bool(re.search(r"([Zz]|[+-]\d{2}:\d{2})$", value))
    )


def read_instant(value: object, tz: ZoneInfo, *, field: str, whole_day: str = "start") -> datetime:
    """An instant from JSON: RFC 3339 with an offset, or a local time or date of the zone, or an aware datetime.

    A date alone means its first instant, or with `whole_day="end"` its last second.
    """
    if isinstance(value, str) and _DATE.fullmatch(value):
        day = _date(value, field=field)
        if whole_day == "end":
            return start_of_day(day + timedelta(days=1), tz) - timedelta(seconds=1)
        return start_of_day(day, tz)
    moment = aware(value, field=field) if isinstance(value, datetime) else _read(value, field=field)
    if moment.microsecond:
        raise InvalidSchedule("Times are to the second.", field=field)
    if moment.tzinfo is None:
        return from_seconds(settle(moment, tz))
    return moment.astimezone(UTC)


def _date(text: str, *, field: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidSchedule(f"{text!r} is not a date.", field=field) from error
    _check_year(day.year, field=field)
    return day


def _read(value: object, *, field: str) -> datetime:
    if not isinstance(value, str) or not value.isascii() or not _MOMENT.fullmatch(value):
        raise InvalidSchedule("A time such as 2026-03-08T02:30:00 is needed.", field=field)
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError as error:
        raise InvalidSchedule(f"{value!r} is not a time.", field=field) from error
    _check_year(moment.year, field=field)
    return moment


def _check_year(year: int, *, field: str) -> None:
    """Far from the ends of what `datetime` holds, so that adding a window or an offset never overflows."""
    if not 1900 <= year <= 2500:
        raise InvalidSchedule("The year must lie between 1900 and 2500.", field=field)
