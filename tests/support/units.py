"""DynamoDB write units, counted as AWS bills them: one per KB of the item, and for each index whose view of the item
changed one per KB of that view (two when its key changed: the old entry goes, a new one comes).

The emulators do not count index writes, so the item is read from the emulator's own memory before and after each write.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from chalicelib.aws.clients import client
from chalicelib.store.base import client as dynamodb
from tests.support.world import table_declarations

KILOBYTE = 1024
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem"})
# Calls of the test itself, and those that AWS makes: it takes messages to the workers.
NOT_OURS = frozenset({"Scan", "ReceiveMessage", "DeleteMessage"})
SERVICES = ("sqs", "s3", "secretsmanager", "events")


def size_of(item: dict[str, Any]) -> int:
    """Bytes of an item by the rules of the developer guide, values as text."""
    return sum(len(name.encode()) + len(str(next(iter(value.values()))).encode()) for name, value in item.items())


@dataclass
class Meter:
    """Counts calls and units while attached to the product's clients."""

    calls: Counter[str] = field(default_factory=Counter)
    writes: float = 0
    by_table: Counter[str] = field(default_factory=Counter)
    # Units by table, index and value of the index's hash key.
    by_partition: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def calls_of(self, *services: str) -> int:
        return sum(count for name, count in self.calls.items() if name.split(".")[0] in services)

    @property
    def hottest(self) -> tuple[tuple[str, str, str], float]:
        """The partition of an index that takes most, and its share of all units."""
        [(partition, units)] = self.by_partition.most_common(1)
        return partition, units / self.writes

    @contextmanager
    def attached(self) -> Iterator[Meter]:
        """Count every call, and bill every write with the item as it was before and is after."""
        state = threading.local()

        def before(params: dict[str, Any], model: Any, **_: Any) -> None:
            assert model.name not in ("BatchWriteItem", "TransactWriteItems"), "not billed yet"
            if model.name in WRITES:
                state.table, state.key = params["TableName"], params.get("Key") or params["Item"]
                state.image = self.images(state.table, state.key)

        def after(model: Any, **_: Any) -> None:
            # A write whose condition fails costs what the item there costs.
            if model.name in WRITES:
                self.bill(state.table, state.image, self.images(state.table, state.key))

        clients, events = [dynamodb(), *map(client, SERVICES)], dynamodb().meta.events
        for each in clients:
            each.meta.events.register("before-call", self.count, unique_id="units-count")
        events.register("before-parameter-build.dynamodb", before, unique_id="units-before")
        events.register("after-call.dynamodb", after, unique_id="units-after")
        try:
            yield self
        finally:
            events.unregister("before-parameter-build.dynamodb", unique_id="units-before")
            events.unregister("after-call.dynamodb", unique_id="units-after")
            for each in clients:
                each.meta.events.unregister("before-call", unique_id="units-count")

    def count(self, model: Any, **_: Any) -> None:
        if model.name not in NOT_OURS:
            self.calls[f"{model.service_model.service_name}.{model.name}"] += 1

    def images(self, table: str, key: dict[str, Any]) -> dict[str, Any]:
        from moto.dynamodb.models import dynamodb_backends

        backend = dynamodb_backends["123456789012"]["us-east-1"]
        found = backend.get_table(table).get_item(_typed(key, backend, table)[0], _typed(key, backend, table)[1])
        return {} if found is None else {name: value.to_json() for name, value in found.attrs.items()}

    def bill(self, table: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        name, units = table.rsplit("-", 1)[1], math.ceil(max(size_of(before), size_of(after), 1) / KILOBYTE)
        declaration = next(each for each in table_declarations() if each["TableName"] == table)
        keys = {each["AttributeName"] for each in declaration["KeySchema"]}
        for index in declaration.get("GlobalSecondaryIndexes", []):
            for partition, cost in _index_units(index, keys, before, after):
                units += cost
                self.by_partition[name, index["IndexName"], partition] += cost
        self.writes += units
        self.by_table[name] += units


def _typed(key: dict[str, Any], backend: Any, table: str) -> tuple[Any, Any]:
    from moto.dynamodb.models.dynamo_type import DynamoType

    found = backend.get_table(table)
    hash_key = DynamoType(key[found.hash_key_attr])
    return hash_key, DynamoType(key[found.range_key_attr]) if found.range_key_attr else None


def _index_units(
    index: dict[str, Any], keys: set[str], before: dict[str, Any], after: dict[str, Any]
) -> list[tuple[str, int]]:
    """Units by the value of the index's hash key."""
    own = [each["AttributeName"] for each in index["KeySchema"]]
    shown = keys | set(own) | set(index["Projection"].get("NonKeyAttributes", []))
    assert index["Projection"]["ProjectionType"] != "ALL"
    views = [
        {name: item[name] for name in shown if name in item} if all(name in item for name in own) else None
        for item in (before, after)
    ]
    old, new = views
    if old == new:
        return []
    costs = [
        (str(next(iter(view[own[0]].values()))), math.ceil(size_of(view) / KILOBYTE))
        for view in views
        if view is not None
    ]
    moved = old is not None and new is not None and [old[name] for name in own] != [new[name] for name in own]
    return costs if moved else [max(costs, key=lambda each: each[1])]
