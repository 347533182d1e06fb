"""How much a preview may bring: a person looks at it, and the API's memory is small.

The database cuts values before they leave it (one `repeat('x', 1e9)` would fill the memory), and rows are fetched until
there are enough bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Characters shown of one value, which may be a whole document. One more is fetched: it says that there are more.
VALUE_CHARACTERS = 2_000
# Bytes shown of all rows: Lambda answers with 6 MB at most.
ROWS_BYTES = 4_000_000


def within_limits(rows: Iterable[Sequence[str | None]], limit: int) -> tuple[list[list[str | None]], bool]:
    """At most `limit` rows and ROWS_BYTES of them, at least one; and whether there are more. Reads no further row."""
    found: list[list[str | None]] = []
    size = 0
    for row in rows:
        size += sum(len(value.encode()) for value in row if value)
        if len(found) == limit or (found and size > ROWS_BYTES):
            return found, True
        found.append(list(row))
    return found, False
