"""What the models of all tables share: names, one client, conditional writes, and attributes for our types."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar, cast

from botocore.config import Config
from botocore.session import Session
from pynamodb.attributes import Attribute, JSONAttribute
from pynamodb.connection.table import TableConnection
from pynamodb.constants import COUNT, STRING
from pynamodb.exceptions import DeleteError, PutError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection
from pynamodb.models import Model

from chalicelib import clock
from chalicelib.core.batch_answers import unprocessed
from chalicelib.core.instants import parse, sortable
from chalicelib.errors import RecordTooLarge, Unavailable
from chalicelib.retrying import code_of, was_tried_again
from chalicelib.settings import settings

E = TypeVar("E", bound=StrEnum)

# Ticks write from several threads over one client.
POOL_CONNECTIONS = 32


@lru_cache(maxsize=1)
def client() -> Any:
    """One DynamoDB client for all tables: one for each table would make every cold start a dozen clients."""
    session = Session()
    return session.create_client(
        "dynamodb",
        region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        config=Config(
            max_pool_connections=POOL_CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=3,
            read_timeout=10,
            parameter_validation=False,
        ),
    )


def table_name(table: str) -> str:
    return f"{settings().tables}-{table}"


class Record(Model):
    """A pynamodb model whose connection uses the shared client."""

    @classmethod
    def _get_connection(cls) -> TableConnection:
        connection = super()._get_connection()
        connection.connection._client = client()
        return connection


def list_index(columns: Mapping[str, Attribute[Any]], carries: list[str]) -> GlobalSecondaryIndex[Any]:
    """An index with these key columns that `carries` others besides. It has the name of the attribute it becomes."""

    class Meta:
        projection = IncludeProjection(carries)

    made = type("ListIndex", (GlobalSecondaryIndex,), {"Meta": Meta, **columns})
    return cast("GlobalSecondaryIndex[Any]", made())


# In the message of the ValidationException with which DynamoDB refuses a record of more than 400 KB.
TOO_LARGE = "exceeded the maximum allowed size"

# --- conditional writes -----------------------------------------------------------------------------------------------


def saved(record: Record, condition: Condition | None) -> bool:
    """Put the whole record; False, and nothing is written, when the table's record is not as the condition says."""
    return _accepted(lambda: record.save(condition))


def written(
    record: Record, actions: list[Any], condition: Condition | None, *, stands: Callable[[], bool] | None = None
) -> bool:
    """Update these columns and bring `record` up to date; False, and nothing changes, when the condition fails.

    `stands` reads `record` again and tells whether this write is in the table. It is asked when an answer was lost: the
    client then tries again by itself, and the condition refuses what its own first try wrote.
    """
    return _accepted(lambda: record.update(actions, condition=condition), stands)


def deleted(record: Record, condition: Condition | None) -> bool:
    """Delete the record; False, and it stays, when the condition fails."""
    return _accepted(lambda: record.delete(condition=condition))


def set_or_remove(column: Attribute[Any], value: Any) -> Any:
    """The action that gives a column this value; None removes it, since no key of an index may be null."""
    return column.remove() if value is None else column.set(value)


def _accepted(write: Callable[[], object], stands: Callable[[], bool] | None = None) -> bool:
    """Turn a failed condition into False, and what a table cannot hold into RecordTooLarge; other failures stay."""
    try:
        write()
    except (PutError, UpdateError, DeleteError) as error:
        code = code_of(error)
        if code == "ConditionalCheckFailedException":
            return stands is not None and was_tried_again(error) and stands()
        if TOO_LARGE in str(error):
            raise RecordTooLarge from error
        if code is not None or stands is None or not stands():
            raise
    return True


# --- reading many at once ---------------------------------------------------------------------------------------------

# DynamoDB reads so many records in one call.
KEYS_PER_CALL = 100
# DynamoDB leaves keys out of an answer when it is busy, or when the answer is full (16 MB): they are asked for again.
# After an answer that brings nothing comes a pause, twice as long each time; after so many of them the read fails.
EMPTY_ANSWERS = 6
FIRST_PAUSE_SECONDS = 0.05

R = TypeVar("R", bound="Record")


def read_many(
    model: type[R], keys: Iterable[Any], *, consistent: bool = True, only: Sequence[str] | None = None
) -> list[R]:
    """The records that exist among these keys, in no order. A key is an id, or a pair where the table has a range key.

    `only`: the columns to read. Raises Unavailable when DynamoDB does not come to some of the keys.
    """
    found: list[R] = []
    left = [_as_stored(model, key) for key in dict.fromkeys(keys)]
    empty_answers = 0
    while left:
        asked, left = left[:KEYS_PER_CALL], left[KEYS_PER_CALL:]
        answer = model._get_connection().batch_get_item(
            asked,  # type: ignore[arg-type]
            consistent_read=consistent,
            attributes_to_get=only,
        )
        rows = answer["Responses"].get(model.Meta.table_name, [])
        unread = unprocessed("BatchGetItem", answer, model.Meta.table_name)
        found += [model.from_raw_data(row) for row in rows]
        left = unread + left
        empty_answers = 0 if rows or not unread else empty_answers + 1
        if empty_answers == EMPTY_ANSWERS:
            raise Unavailable(f"DynamoDB did not read {len(left)} records of {model.Meta.table_name}.")
        if empty_answers:
            clock.pause(FIRST_PAUSE_SECONDS * 2**empty_answers)
    return found


def _as_stored(model: type[R], key: Any) -> dict[str, Any]:
    hash_key, range_key = key if isinstance(key, tuple) else (key, None)
    hash_stored, range_stored = model._serialize_keys(hash_key, range_key)
    names = (model._hash_key_attribute(), model._range_key_attribute())
    values = (hash_stored, range_stored)
    return {name.attr_name: value for name, value in zip(names, values, strict=True) if name is not None}


# --- queries ----------------------------------------------------------------------------------------------------------


def count_up_to(
    limit: int, source: Any, key: str, keys: Condition | None = None, *, matching: Condition | None = None
) -> int:
    """How many entries of a partition of a table (a Record) or of an index match, counted as far as `limit`.

    pynamodb's own count reads to the end even with a limit.
    """
    index = None if isinstance(source, type) else source.Meta.index_name
    model: Any = source if index is None else source._model
    found, start = 0, None
    while found < limit:
        answer = model._get_connection().query(
            key,
            range_key_condition=keys,
            filter_condition=matching,
            index_name=index,
            select=COUNT,
            exclusive_start_key=start,
            # With a filter, an answer of a few entries may hold no match.
            limit=limit - found if matching is None else None,
        )
        found, start = found + answer["Count"], answer.get("LastEvaluatedKey")
        if start is None:
            break
    return min(found, limit)


# --- attributes -------------------------------------------------------------------------------------------------------


class InstantAttribute(Attribute[datetime]):
    """An aware datetime as text of one width, so that it can be a sort key."""

    attr_type = STRING

    def serialize(self, value: datetime) -> str:
        return sortable(value)

    def deserialize(self, value: str) -> datetime:
        return parse(value)


class EnumAttribute(Attribute[E]):
    """A StrEnum that comes back as itself, not as str."""

    attr_type = STRING

    def __init__(self, enum: type[E], **arguments: Any):
        super().__init__(**arguments)
        self.enum = enum

    def serialize(self, value: E) -> str:
        return self.enum(value).value

    def deserialize(self, value: str) -> E:
        return self.enum(value)


class DocumentAttribute(JSONAttribute):
    """A JSON document kept as text: DynamoDB's own maps would turn floats into decimals and refuse empty keys."""
