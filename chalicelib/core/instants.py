"""Instants: aware UTC datetimes in code, RFC 3339 text with `Z` outside it. A naive datetime raises ValueError."""

from __future__ import annotations

from datetime import UTC, datetime

# Sorts after every real instant; its text still has four digits of year.
FAR_FUTURE = datetime(9999, 1, 1, tzinfo=UTC)


# The years that a slot may lie in.
FIRST_YEAR, LAST_YEAR = 1970, 2500


def utc(instant: datetime) -> datetime:
    """The same instant in UTC. Compare these: in a fold an aware local datetime does not equal its own UTC value."""
    if instant.tzinfo is None:
        raise ValueError(f"naive datetime {instant.isoformat()}: an instant needs a zone")
    return instant.astimezone(UTC)


def floor_second(instant: datetime) -> datetime:
    """The instant's whole second, in UTC."""
    return utc(instant).replace(microsecond=0)


def slot(instant: datetime) -> datetime:
    """The instant, or `ValueError` when it can be no slot. The ids of jobs hold milliseconds since 1970; windows and
    offsets of zones must stay in the range of `datetime`.
    """
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise ValueError(f"a slot lies between the years {FIRST_YEAR} and {LAST_YEAR}")
    return instant


def rfc3339(instant: datetime) -> str:
    """Text for people and programs: `2026-03-08T07:00:00Z`, milliseconds only when there are any."""
    return _text(instant, milliseconds=instant.microsecond >= 1000)


def sortable(instant: datetime) -> str:
    """Text of one width, so that DynamoDB sort keys are in time order: `2026-03-08T07:00:00.000Z`."""
    return _text(instant, milliseconds=True)


def _text(instant: datetime, *, milliseconds: bool) -> str:
    # `isoformat` cuts what is finer, and writes four digits of year also before 1000.
    return utc(instant).replace(tzinfo=None).isoformat(timespec="milliseconds" if milliseconds else "seconds") + "Z"


def parse(text: str) -> datetime:
    """An RFC 3339 instant with a zone; `ValueError` for anything else."""
    instant = datetime.fromisoformat(text)
    return utc(instant)
