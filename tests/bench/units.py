"""DynamoDB write units, counted as AWS bills them: one per KB of the item, and for each index whose view of the item
changed one per KB of that view (two when its key changed: the old entry goes, a new one comes).

The emulators do not count index writes, so the item is read from the emulator's own memory before and after each write.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.support.world import table_declarations

KILOBYTE = 1024


def size_of(item: dict[str, Any]) -> int:
    """Bytes of an item by the rules of the developer guide, values as text."""
    return sum(len(name.encode()) + len(str(next(iter(value.values()))).encode()) for name, value in item.items())


@dataclass
class Meter:
    """Counts calls and units while attached to a client."""

    calls: Counter[str] = field(default_factory=Counter)
    writes: float = 0
    by_table: Counter[str] = field(default_factory=Counter)
    _before: dict[str, Any] | None = None

    def count(self, model: Any, **_: Any) -> None:
        self.calls[f"{model.service_model.service_name}.{model.name}"] += 1

    def images(self, table: str, key: dict[str, Any]) -> dict[str, Any]:
        from moto.dynamodb.models import dynamodb_backends

        backend = dynamodb_backends["123456789012"]["us-east-1"]
        found = backend.get_table(table).get_item(_typed(key, backend, table)[0], _typed(key, backend, table)[1])
        return {} if found is None else {name: value.to_json() for name, value in found.attrs.items()}

    def bill(self, table: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        units = float(math.ceil(max(size_of(before), size_of(after), 1) / KILOBYTE))
        declaration = next(each for each in table_declarations() if each["TableName"] == table)
        keys = {each["AttributeName"] for each in declaration["KeySchema"]}
        for index in declaration.get("GlobalSecondaryIndexes", []):
            units += _index_units(index, keys, before, after)
        self.writes += units
        self.by_table[table.rsplit("-", 1)[1]] += int(units)


def _typed(key: dict[str, Any], backend: Any, table: str) -> tuple[Any, Any]:
    from moto.dynamodb.models.dynamo_type import DynamoType

    found = backend.get_table(table)
    hash_key = DynamoType(key[found.hash_key_attr])
    return hash_key, DynamoType(key[found.range_key_attr]) if found.range_key_attr else None


def _index_units(index: dict[str, Any], keys: set[str], before: dict[str, Any], after: dict[str, Any]) -> float:
    own = [each["AttributeName"] for each in index["KeySchema"]]
    shown = keys | set(own) | set(index["Projection"].get("NonKeyAttributes", []))
    views = [
        {name: item[name] for name in shown if name in item} if all(name in item for name in own) else None
        for item in (before, after)
    ]
    old, new = views
    if old == new:
        return 0
    cost = [0 if view is None else math.ceil(size_of(view) / KILOBYTE) for view in views]
    moved = old is not None and new is not None and [old[name] for name in own] != [new[name] for name in own]
    return float(sum(cost) if moved else max(cost))
