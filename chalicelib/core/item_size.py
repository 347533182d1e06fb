"""The size of a record as DynamoDB counts it: the bytes of each column's name and value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# DynamoDB holds no larger item, and refuses the write that would make it one.
ITEM_BYTES = 400 * 1024
# A number takes one byte for two digits, and at most this.
NUMBER_BYTES = 21


def item_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """The size of an item in the form of the wire, `{"name": {"S": "value"}}`."""
    return sum(column_bytes(name, value) for name, value in item.items())


def column_bytes(name: str, value: Mapping[str, Any]) -> int:
    """The size of one column. `ValueError` for a type that no table has."""
    [(kind, held)] = value.items()
    return len(name.encode()) + _value_bytes(kind, held)


def _value_bytes(kind: str, held: Any) -> int:
    if kind == "S":
        return len(held.encode())
    if kind == "N":
        return min(NUMBER_BYTES, len(held.strip("-").replace(".", "")) // 2 + 2)
    if kind == "B":
        return len(held)
    if kind in ("BOOL", "NULL"):
        return 1
    if kind in ("SS", "NS", "BS"):
        # A little is kept for the set itself.
        return 3 + sum(1 + _value_bytes(kind[0], each) for each in held)
    raise ValueError(f"no column has the type {kind}")
