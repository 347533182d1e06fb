"""Read values of JSON input strictly: a value of another type or range raises an error that names its field."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.core.local_time import aware_utc, from_seconds, instant_showing, start_of_day
from chalicelib.errors import Invalid, InvalidSchedule

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.0+)?)?([Zz]|[+-]\d{2}:\d{2})?")


def known_keys(
    given: Mapping[str, Any], known: Container[str], *, prefix: str, what: str, error: type[Invalid] = InvalidSchedule
) -> None:
    """Refuse keys that are not known; a key that holds null counts as absent."""
    for key, value in given.items():
        if value is not None and key not in known:
            raise error(f"{key!r} means nothing for {what}.", field=f"{prefix}.{key}")


def whole(value: object, *, low: int, high: int, field: str, error: type[Invalid] = InvalidSchedule) -> int:
    """A whole number within bounds; true and 3.0 are not whole numbers."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise error(f"A whole number from {low} to {high} is needed.", field=field)
    return value


def flag(value: object, *, field: str, error: type[Invalid] = InvalidSchedule) -> bool:
    if not isinstance(value, bool):
        raise error("true or false is needed.", field=field)
    return value


def one_of(value: object, choices: Iterable[str], *, field: str, error: type[Invalid] = InvalidSchedule) -> str:
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise error(f"One of {', '.join(choices)} is needed.", field=field)
    return value


def read_local(value: object, *, field: str) -> datetime:
    """A local time from JSON text without an offset."""
    moment = _read(value, field=field)
    if moment.tzinfo is not None:
        raise InvalidSchedule("A local time without an offset is needed.", field=field)
    return moment


def has_offset(value: object) -> bool:
    return isinstance(value, datetime) or (
        isinstance(value, str) and bool(re.search(r"([Zz]|[+-]\d{2}:\d{2})$", value))
    )


def read_instant(value: object, tz: ZoneInfo, *, field: str, whole_day: str = "start") -> datetime:
    """An instant from RFC 3339 text with an offset, from a local time or date of the zone, or from an aware datetime.

    A date alone is its first instant, or with `whole_day="end"` its last second.
    """
    if isinstance(value, str) and _DATE.fullmatch(value):
        day = _date(value, field=field)
        if whole_day == "end":
            return start_of_day(day + timedelta(days=1), tz) - timedelta(seconds=1)
        return start_of_day(day, tz)
    moment = aware_utc(value, field=field) if isinstance(value, datetime) else _read(value, field=field)
    if moment.microsecond:
        raise InvalidSchedule("Times are to the second.", field=field)
    if moment.tzinfo is None:
        return from_seconds(instant_showing(moment, tz))
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
    """Keep far from the ends of `datetime`'s range, so that adding a window or an offset never overflows."""
    if not 1900 <= year <= 2500:
        raise InvalidSchedule("The year must lie between 1900 and 2500.", field=field)
