"""Turns what psycopg2 raises into errors that a person can act on. They quote the database, and never the password."""

from __future__ import annotations

from typing import Any

from chalicelib.errors import (
    ConnectionDropped,
    QueryFailed,
    QueryInterrupted,
    RunError,
    SourceRefused,
    StatementTimedOut,
)
from chalicelib.sources.quoted_values import MASK, masked, masked_details

# SQLSTATEs, https://www.postgresql.org/docs/current/errcodes-appendix.html
_QUERY_CANCELED = "57014"
_READ_ONLY = "25006"
_GONE_CLASSES = ("08", "57P")
# The query may succeed later: a conflict on a standby, a deadlock, a lock, a server short of memory or connections.
_PASSING = ("40001", "40P01", "55P03", "53")
# Classes of errors that quote names and the query's own text; and those that quote values. The message of any other, as
# of RAISE in a function, may be made of values as a whole.
_QUOTING_NAMES = (
    "08", "0A", "25", "26", "28", "34", "3D", "3F", "40", "42", "53", "54", "55", "57",
)  # fmt: skip
_QUOTING_VALUES = ("21", "22", "23", "44")


def session_error(error: Any, settings: Any) -> RunError:
    """For a setting of the source that this server does not know, such as a time zone."""
    said = message_of(error, None)
    field = next((name for name in ("timezone", "search_path") if name in said.lower()), "")
    return SourceRefused(
        f"The database at {settings.host}:{settings.port} refused a setting: {said}",
        field=f"settings.{field}" if field else "settings",
    )


def statement_error(
    error: Any, name: str, *, gone: bool, seconds: float, limit: float | None, secret: str | None, show_values: bool
) -> RunError:
    state: str = error.pgcode or ""
    said = message_of(error, secret, show_values=show_values) + (f" (SQLSTATE {state})" if state else "")
    if state == _QUERY_CANCELED:
        # The text is translated on some servers, so the clock is asked too.
        if (limit is not None and seconds >= limit * 0.95) or "statement timeout" in said:
            return statement_limit_error(name, limit)
        return QueryInterrupted(f"Query {name!r} was canceled at the database, not by Carillon: {said}")
    if gone or state.startswith(_GONE_CLASSES) or (not state and _is_connection_trouble(error)):
        return ConnectionDropped(f"The connection broke while query {name!r} ran: {said}")
    if state.startswith(_PASSING):
        return QueryInterrupted(f"The database broke query {name!r} off: {said}")
    if state == _READ_ONLY:
        return QueryFailed(f"Query {name!r} writes, and a report may only read: {said}")
    return QueryFailed(f"The database refused query {name!r}: {said}")


def statement_limit_error(name: str, limit: float | None) -> StatementTimedOut:
    limit_words = f"its limit of {limit:g} s" if limit is not None else "the database's own limit"
    return StatementTimedOut(f"Query {name!r} ran longer than {limit_words} (statement_timeout).")


def _is_connection_trouble(error: Any) -> bool:
    import psycopg2

    return isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError))


def message_of(error: Any, secret: str | None, *, show_values: bool = True) -> str:
    """The database's message in one paragraph: message, detail and hint, without the echo of the whole statement.

    Unless `show_values`, what it may quote of the data is masked.
    """
    diagnosis = getattr(error, "diag", None)
    if diagnosis is not None and diagnosis.message_primary:
        parts = [diagnosis.message_primary, diagnosis.message_detail, diagnosis.message_hint]
        if not show_values:
            parts = _without_values(error.pgcode or "", parts)
        said = " ".join(part.rstrip(".") + "." for part in parts if part)
    else:
        said = " ".join(str(error).split()) or type(error).__name__
    if secret:
        said = said.replace(secret, "***")
    return said


def _without_values(state: str, parts: list[str | None]) -> list[str | None]:
    if state.startswith(_QUOTING_NAMES):
        return parts
    if not state.startswith(_QUOTING_VALUES):
        return [MASK]
    message, *details = parts
    return [message and masked(message), *(each and masked_details(each) for each in details)]
