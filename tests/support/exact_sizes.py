"""moto with DynamoDB's limit of 400 KB to the byte, and with updates that are refused whole.

moto itself counts a column that is replaced twice, and leaves the first columns of an update that it refuses.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from moto.dynamodb.exceptions import ItemSizeTooLarge, ItemSizeToUpdateTooLarge
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import Item, LimitedSizeDict

from chalicelib.core.item_size import ITEM_BYTES, item_bytes

_update_item, _put_item = DynamoDBBackend.update_item, DynamoDBBackend.put_item


def size_of(item: Item) -> int:
    return item_bytes({name: {value.type: value.value} for name, value in item.attrs.items()})


def _put(self: DynamoDBBackend, table_name: str, item_attrs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    if item_bytes(item_attrs) > ITEM_BYTES:
        raise ItemSizeTooLarge
    return _put_item(self, table_name, item_attrs, *args, **kwargs)


def _update(self: DynamoDBBackend, table_name: str, key: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    table = self.get_table(table_name)
    hash_key, range_key = self.get_keys_value(table, key)
    before = table.get_item(hash_key, range_key)
    kept = None if before is None else copy.deepcopy(before.attrs)
    answer = _update_item(self, table_name, key, *args, **kwargs)
    after = table.get_item(hash_key, range_key)
    if after is not None and size_of(after) > ITEM_BYTES:
        after.attrs = kept if kept is not None else after.attrs
        raise ItemSizeToUpdateTooLarge
    return answer


@contextmanager
def exact_sizes() -> Iterator[None]:
    with (
        mock.patch.object(LimitedSizeDict, "__setitem__", dict.__setitem__),
        mock.patch.object(DynamoDBBackend, "update_item", _update),
        mock.patch.object(DynamoDBBackend, "put_item", _put),
    ):
        yield
