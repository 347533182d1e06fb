"""DynamoDB in memory, quick enough for thousands of sequences: one item a time, conditions, indexes, and their lag.

It stands where the product's DynamoDB client stands, and is held to what the real one does by the store's own tests
(`tests/store`), which run on it too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.core.item_size import ITEM_BYTES, item_bytes
from tests.model.expressions import Item, condition, plain, update
from tests.support.world import table_declarations

Key = tuple[Any, ...]
# Makes a call of this name with what it is given; `Call` gives the answer.
Call = Callable[[dict[str, Any]], dict[str, Any]]
Around = Callable[[str, dict[str, Any], Call], dict[str, Any]]
# Called after every write: table, the item before and after it; None where there is none.
Watcher = Callable[[str, "Item | None", "Item | None"], None]

# Handlers of botocore's events (which count what a run costs) are never called.
UNHEARD = SimpleNamespace(events=SimpleNamespace(register=lambda *_, **__: None, unregister=lambda *_, **__: None))


def plainly(name: str, given: dict[str, Any], call: Call) -> dict[str, Any]:
    return call(given)


def refused(code: str, message: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class Table:
    def __init__(self, declaration: dict[str, Any]):
        self.name = declaration["TableName"]
        self.keys = [each["AttributeName"] for each in declaration["KeySchema"]]
        self.types = {each["AttributeName"]: each["AttributeType"] for each in declaration["AttributeDefinitions"]}
        self.indexes = {each["IndexName"]: Index(self, each) for each in declaration.get("GlobalSecondaryIndexes", [])}
        self.items: dict[Key, Item] = {}
        # What the indexes show while they lag behind.
        self.behind: dict[Key, Item] | None = None

    def key(self, item: Item) -> Key:
        return tuple(plain(item[name]) for name in self.keys)

    def check(self, item: Item, operation: str) -> None:
        for name, kind in self.types.items():
            if name in item and (list(item[name]) != [kind] or item[name] == {"S": ""}):
                raise refused("ValidationException", f"{name} is no key: {item[name]}", operation)
        for name, value in item.items():
            if "SS" in value and not value["SS"]:
                raise refused("ValidationException", f"{name} is an empty set", operation)
        if item_bytes(item) > ITEM_BYTES:
            raise refused("ValidationException", "Item size to update has exceeded the maximum allowed size", operation)


class Index:
    def __init__(self, table: Table, declaration: dict[str, Any]):
        self.keys = [each["AttributeName"] for each in declaration["KeySchema"]]
        projection = declaration["Projection"]
        carried = {*self.keys, *table.keys, *projection.get("NonKeyAttributes", [])}
        self.carried = None if projection["ProjectionType"] == "ALL" else carried

    def shown(self, item: Item) -> Item:
        return item if self.carried is None else {name: item[name] for name in self.carried if name in item}


class Tables:
    """Answers as botocore's client does, to the one method that pynamodb calls."""

    def __init__(self) -> None:
        self.tables = {each["TableName"]: Table(each) for each in table_declarations()}
        self.watchers: list[Watcher] = []
        self.meta = UNHEARD
        # pynamodb makes another client where this one has no signer.
        self._request_signer = SimpleNamespace(_credentials="none")
        # Called before and after each call, with the operation's name: where processes stop or die.
        self.moment: Callable[[str], None] = lambda name: None
        # Makes each call; a test puts faults here.
        self.around: Around = plainly
        # DynamoDB judges and writes an item in one step, whichever thread asks.
        self._one_at_a_time = threading.RLock()

    def empty(self) -> None:
        for table in self.tables.values():
            table.items, table.behind = {}, None

    def lag(self, on: bool) -> None:
        """While on, the indexes show what is there now; off, they show everything at once."""
        for table in self.tables.values():
            table.behind = dict(table.items) if on else None

    def _make_api_call(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        self.moment(f"before dynamodb.{operation}")
        answer = self.around(f"dynamodb.{operation}", given, lambda given: self._answer(operation, given))
        self.moment(f"after dynamodb.{operation}")
        return answer

    def _answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        with self._one_at_a_time:
            answer: dict[str, Any] = getattr(self, f"_{operation}")(**given)
        return answer

    def _GetItem(self, TableName: str, Key: Item, **_: Any) -> dict[str, Any]:
        table = self.tables[TableName]
        found = table.items.get(table.key(Key))
        return {} if found is None else {"Item": found}

    def _BatchGetItem(self, RequestItems: dict[str, Any], **_: Any) -> dict[str, Any]:
        found: dict[str, list[Item]] = {}
        for name, asked in RequestItems.items():
            table = self.tables[name]
            assert len(asked["Keys"]) <= 100
            keys = [table.key(key) for key in asked["Keys"]]
            assert len(set(keys)) == len(keys), "a key is asked for twice"
            found[name] = [table.items[key] for key in keys if key in table.items]
        return {"Responses": found, "UnprocessedKeys": {}}

    def _PutItem(self, TableName: str, Item: Item, **given: Any) -> dict[str, Any]:
        table = self.tables[TableName]
        key = table.key(Item)
        self._judge(table, key, given, "PutItem")
        self._write(table, key, Item, "PutItem")
        return {}

    def _UpdateItem(self, TableName: str, Key: Item, UpdateExpression: str, **given: Any) -> dict[str, Any]:
        table = self.tables[TableName]
        key = table.key(Key)
        self._judge(table, key, given, "UpdateItem")
        names, values = given.get("ExpressionAttributeNames", {}), given.get("ExpressionAttributeValues", {})
        assert not {names.get(name) for name in names} & set(table.keys) or "ConditionExpression" in given
        after = update(UpdateExpression)(table.items.get(key, Key), names, values)
        self._write(table, key, after, "UpdateItem")
        return {"Attributes": after}

    def _DeleteItem(self, TableName: str, Key: Item, **given: Any) -> dict[str, Any]:
        table = self.tables[TableName]
        key = table.key(Key)
        self._judge(table, key, given, "DeleteItem")
        if key in table.items:
            self._write(table, key, None, "DeleteItem")
        return {}

    def _BatchWriteItem(self, RequestItems: dict[str, Any], **_: Any) -> dict[str, Any]:
        for name, requests in RequestItems.items():
            table = self.tables[name]
            assert len(requests) <= 25
            for request in requests:
                item = request["PutRequest"]["Item"] if "PutRequest" in request else None
                key = table.key(item or request["DeleteRequest"]["Key"])
                if item is not None or key in table.items:
                    self._write(table, key, item, "BatchWriteItem")
        return {"UnprocessedItems": {}}

    def _Query(self, TableName: str, KeyConditionExpression: str, **given: Any) -> dict[str, Any]:
        table = self.tables[TableName]
        index = table.indexes[given["IndexName"]] if "IndexName" in given else None
        assert index is None or not given.get("ConsistentRead"), "an index is never consistent"
        keys = table.keys if index is None else index.keys
        items = table.items if index is None or table.behind is None else table.behind
        matches = condition(KeyConditionExpression)
        names, values = given["ExpressionAttributeNames"], given["ExpressionAttributeValues"]
        found = [item for item in items.values() if all(key in item for key in keys) and matches(item, names, values)]
        found.sort(key=lambda item: (*(plain(item[key]) for key in keys), table.key(item)))
        if not given.get("ScanIndexForward", True):
            found.reverse()
        return self._page(table, index, found, given)

    def _Scan(self, TableName: str, **given: Any) -> dict[str, Any]:
        table = self.tables[TableName]
        return self._page(table, None, sorted(table.items.values(), key=table.key), given)

    def _page(self, table: Table, index: Index | None, found: list[Item], given: dict[str, Any]) -> dict[str, Any]:
        start = given.get("ExclusiveStartKey")
        if start is not None:
            begin = table.key(start)
            at = next((n for n, item in enumerate(found) if table.key(item) == begin), None)
            assert at is not None, "a page begins behind an item that is gone; not needed yet"
            found = found[at + 1 :]
        limit = given.get("Limit") or len(found)
        read, rest = found[:limit], found[limit:]
        shown = [item if index is None else index.shown(item) for item in read]
        filtered = list(self._filtered(shown, given))
        answer: dict[str, Any] = {"Count": len(filtered), "ScannedCount": len(read)}
        if given.get("Select") != "COUNT":
            answer["Items"] = filtered
        if rest:
            names = {*table.keys, *(index.keys if index else ())}
            answer["LastEvaluatedKey"] = {name: read[-1][name] for name in names}
        return answer

    def _filtered(self, items: list[Item], given: dict[str, Any]) -> Iterator[Item]:
        text = given.get("FilterExpression")
        for item in items:
            names, values = given.get("ExpressionAttributeNames", {}), given.get("ExpressionAttributeValues", {})
            if text is None or condition(text)(item, names, values):
                yield item

    def _judge(self, table: Table, key: Key, given: dict[str, Any], operation: str) -> None:
        text = given.get("ConditionExpression")
        names, values = given.get("ExpressionAttributeNames", {}), given.get("ExpressionAttributeValues", {})
        if text is not None and not condition(text)(table.items.get(key, {}), names, values):
            raise refused("ConditionalCheckFailedException", "The conditional request failed", operation)

    def _write(self, table: Table, key: Key, item: Item | None, operation: str) -> None:
        before = table.items.get(key)
        if item is None:
            del table.items[key]
        else:
            table.check(item, operation)
            table.items[key] = item
        for watcher in self.watchers:
            watcher(table.name, before, item)

    def __getattr__(self, name: str) -> Any:
        """`client.query(…)` is `_make_api_call("Query", …)`."""
        operation = "".join(word.capitalize() for word in name.split("_"))
        if name.startswith("_") or not hasattr(type(self), f"_{operation}"):
            raise AttributeError(name)
        return lambda **given: self._make_api_call(operation, given)
