"""Instants: aware UTC datetimes inside, RFC 3339 text with `Z` outside. Naive datetimes are refused at the door."""

from __future__ import annotations

from datetime import UTC, datetime

# Beyond every real instant, still four digits of year: sorts after all of them.
FAR_FUTURE = datetime(9999, 1, 1, tzinfo=UTC)


def utc(instant: datetime) -> datetime:
    """The same instant in UTC. In a fold an aware local datetime is not equal to its own UTC value: compare these."""
    if instant.tzinfo is None:
        raise ValueError(f"naive datetime {instant.isoformat()}: an instant needs a zone")
    return instant.astimezone(UTC)


def floor_second(instant: datetime) -> datetime:
    """The instant's whole second, in UTC."""
    return utc(instant).replace(microsecond=0)


def rfc3339(instant: datetime) -> str:
    """Text for people and programs: `2026-03-08T07:00:00Z`, milliseconds only when there are any."""
    value = utc(instant)
    text = value.strftime("%Y-%m-%dT%H:%M:%S")
    millis = value.microsecond // 1000
    return f"{text}.{millis:03d}Z" if millis else f"{text}Z"


def sortable(instant: datetime) -> str:
    """Text of one width, so that text order is time order (DynamoDB sort keys): `2026-03-08T07:00:00.000Z`."""
    value = utc(instant)
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"


def parse(text: str) -> datetime:
    """An RFC 3339 instant with a zone; `ValueError` for anything else."""
    instant = datetime.fromisoformat(text)
    return utc(instant)
