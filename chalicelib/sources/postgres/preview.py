"""The first rows of a query, each value cut by the server before it is sent."""

# ruff: noqa: S608 - the query is the report's own text, closed by sources/sql.py; the rest are numbers

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chalicelib.sources.preview_limits import ROWS_BYTES, VALUE_CHARACTERS


def rows_of(cursor: Any, sql: str, *, columns: int, limit: int) -> Iterator[list[str | None]]:
    """The rows of a query of so many columns, and one more than `limit`: each value as the server writes it, cut.

    The rows of a wide result would fill the memory, so they are fetched from a cursor of the server, some at a time.
    """
    first, at_once = _first(sql, columns, limit), ROWS_BYTES // (VALUE_CHARACTERS * columns)
    if at_once > limit:
        cursor.execute(first.encode())
        yield from map(list, cursor.fetchall())
        return
    at_once = max(1, at_once)
    cursor.execute(f"DECLARE carillon_preview NO SCROLL CURSOR FOR {first}".encode())
    while True:
        cursor.execute(f"FETCH FORWARD {at_once} FROM carillon_preview")
        rows = cursor.fetchall()
        yield from map(list, rows)
        if len(rows) < at_once:
            return


def _first(sql: str, columns: int, limit: int) -> str:
    # By position, since a name may come in both cases of letters. format() calls the type's own output function, as a
    # plain SELECT does and a cast to text does not always; it writes NULL as an empty text, and num_nulls() tells a
    # NULL from a row of NULLs. OFFSET 0 keeps the planner from computing a column as often as it is named.
    names = [f"c{number}" for number in range(columns)]
    cut = ", ".join(
        f"CASE WHEN pg_catalog.num_nulls(q.{name}) OPERATOR(pg_catalog.=) 0 "
        f"THEN pg_catalog.left(pg_catalog.format('%s', q.{name}), {VALUE_CHARACTERS + 1}) END"
        for name in names
    )
    first = f"SELECT * FROM (\n{sql}\n) AS q LIMIT {int(limit) + 1} OFFSET 0"
    return f"SELECT {cut} FROM ({first}) AS q ({', '.join(names)})"
