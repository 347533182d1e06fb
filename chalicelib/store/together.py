"""Records of several tables in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.core.batch_answers import unprocessed
from chalicelib.store.base import Record, client, read_many


def read_together(wanted: Mapping[type[Record], Sequence[str]]) -> dict[type[Record], list[Any]]:
    """The records that exist among these ids of each table, read consistently, in no order. At most 100 in all.

    The tables have no range key, and no id is named twice.
    """
    asked = {
        str(model.Meta.table_name): {
            "Keys": [{str(model._hash_keyname): {"S": record_id}} for record_id in ids],
            "ConsistentRead": True,
        }
        for model, ids in wanted.items()
        if ids
    }
    answer = client().batch_get_item(RequestItems=asked, ReturnConsumedCapacity="TOTAL")
    if any(unprocessed("BatchGetItem", answer, table) for table in asked):
        # DynamoDB is busy: table by table, each asked again until it answers.
        return {model: list(read_many(model, ids)) for model, ids in wanted.items()}
    return {
        model: [model.from_raw_data(row) for row in answer["Responses"].get(str(model.Meta.table_name), ())]
        for model in wanted
    }
