"""The first rows of a query, each value cut by SQLite before Python has it."""

# ruff: noqa: S608 - the query is the report's own text, closed by sources/sql.py; values are bound

from __future__ import annotations

from typing import Any

from chalicelib.sources.preview_limits import VALUE_CHARACTERS


def first_rows(text: str, *, columns: int, limit: int) -> str:
    """The query whose result has the first rows, and one more than `limit`."""
    # By position, since SQLite takes names in both cases of letters for one. OFFSET 0 keeps it from computing a column
    # as often as it is named.
    names = [f"c{number}" for number in range(columns)]
    cut = ", ".join(
        f"CASE typeof(q.{name}) WHEN 'text' THEN substr(q.{name}, 1, {VALUE_CHARACTERS + 1}) "
        f"WHEN 'blob' THEN substr(q.{name}, 1, {VALUE_CHARACTERS // 2 + 1}) ELSE q.{name} END"
        for name in names
    )
    first = f"SELECT * FROM (\n{text}\n) LIMIT {int(limit) + 1} OFFSET 0"
    return f"WITH q ({', '.join(names)}) AS ({first}) SELECT {cut} FROM q"


def shown(value: Any) -> str | None:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return None if value is None else str(value)
