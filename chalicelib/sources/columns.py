"""Which columns an export may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from chalicelib.errors import QueryFailed


def refuse_unusable_columns(query_name: str, names: Sequence[str]) -> None:
    """`QueryFailed` when there is no column, or two share a name: readers of the file could not tell them apart."""
    if not names:
        raise QueryFailed(f"Query {query_name!r} gives no columns, so there is nothing to export.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        listed = ", ".join(repr(name) for name in twice)
        raise QueryFailed(f"Query {query_name!r} has more than one column named {listed}. Give each a name with AS.")
