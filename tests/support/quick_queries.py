"""moto sorts, projects, measures and casts a whole table anew for each query of an index: minutes for tests of lists.

Here that is done once for each partition of an index. Conditions, filters, limits and positions stay moto's. Only for
tables that do not change while it is in place.
"""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import pytest
from moto.dynamodb.models import table as moto_table
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table


def quick_queries(patch: pytest.MonkeyPatch, *, key: str) -> None:
    """`key` is the range key of the indexes, unique in the table."""
    whole = Table.query
    known: dict[tuple[str, str, str], tuple[list[Item], list[str]]] = {}

    def partition(table: Table, index_name: str, column: str, value: Any) -> tuple[list[Item], list[str]]:
        name = (table.name, index_name, value.value)
        if name not in known:
            index = table.get_index(index_name)
            shown = {*index.schema_key_attrs, *table.table_key_attrs, *index.projection.get("NonKeyAttributes", [])}
            holders = (item for item in table.items.values() if column in item.attrs)
            entries = [item for item in holders if item.attrs[column].value == value.value]
            entries.sort(key=lambda item: item.attrs[key].value)
            known[name] = [_entry(item, shown) for item in entries], [item.attrs[key].value for item in entries]
        return known[name]

    def query(table: Table, *given: Any, **named: Any) -> Any:
        position, forward, index_name = given[4], given[5], given[7]
        if index_name is None or table.get_index(index_name).schema_key_attrs[-1] != key:
            return whole(table, *given, **named)
        items, ids = partition(table, index_name, *named["hash_key_conditions"][0])
        if position is not None:
            last = position[key]["S"]
            items = items[bisect_right(ids, last) :] if forward else items[: bisect_left(ids, last)]
        # A table of its own for each query: lists ask several at the same time.
        one, index = copy.copy(table), copy.copy(table.get_index(index_name))
        index.project = lambda item: item
        one.all_items = lambda: items
        one.sorted_items = lambda hash_keys, range_keys, found: found
        one.get_index = lambda name: index
        return whole(one, *given[:4], None, *given[5:], **named | {"hash_key_conditions": []})

    patch.setattr(Table, "query", query)
    patch.setattr(moto_table, "copy", SimpleNamespace(copy=copy.copy, deepcopy=lambda found: found))


def _entry(item: Item, shown: set[str]) -> Item:
    """What the index has of the item; its size is the item's, as in moto."""
    if "size" not in vars(item):
        size = item.size()
        item.size = lambda: size
    for name in item.attrs.keys() & shown:
        if not isinstance(item.attrs[name], Known):
            dict.__setitem__(item.attrs, name, Known({item.attrs[name].type: item.attrs[name].value}))
    entry = copy.copy(item)
    entry.attrs = {name: value for name, value in item.attrs.items() if name in shown}
    return entry


class Known(DynamoType):
    """moto makes the Python value of a set anew for each comparison."""

    @cached_property
    def cast_value(self) -> Any:
        return super().cast_value
