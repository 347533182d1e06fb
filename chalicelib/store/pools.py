"""Pools: an operator's description of each, and whether it is paused. A pool without either has no record.

Beside the pools, under an id that no pool can have, stands the register of the tasks and sources that have a limit. So
one read tells a worker whether its pool is paused and which permits it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.expressions.condition import Condition, size

from chalicelib.core.record_bounds import REGISTERED_MOST
from chalicelib.errors import Invalid, StaleRevision
from chalicelib.store.base import InstantAttribute, Record, read_many, saved, table_name, written

# Begins the ids of items that are no pools: ids in the API have no `~`.
RESERVED = "~"
REGISTER = "~limits"


class PoolRecord(Record):
    class Meta:
        table_name = table_name("pools")

    pool_id = UnicodeAttribute(hash_key=True)
    description = UnicodeAttribute(default="")
    # While true nothing is claimed from it.
    paused = BooleanAttribute(default=False)
    note = UnicodeAttribute(default="")
    # Grows by one with every edit; the ETag.
    revision = NumberAttribute(default=1)
    updated_at = InstantAttribute(null=True)
    # Of the register only: `task:<id>`, `source:<id>` of each task and source that has, or once had, a limit.
    limited = UnicodeSetAttribute(null=True)


@dataclass(frozen=True)
class PoolState:
    """What a worker must know of its pool before it claims."""

    paused: bool = False
    limited: frozenset[str] = frozenset()


def state(pool_id: str) -> PoolState:
    """Read consistently, so that a pause holds from the next claim on."""
    return state_of(read_many(PoolRecord, [pool_id, REGISTER]), pool_id)


def state_of(records: Iterable[PoolRecord], pool_id: str) -> PoolState:
    """What the records of the pool and of the register say, where they exist."""
    found = {record.pool_id: record for record in records}
    paused = pool_id in found and found[pool_id].paused
    return PoolState(bool(paused), frozenset((found[REGISTER].limited or ()) if REGISTER in found else ()))


def find(pool_id: str) -> PoolRecord | None:
    try:
        return PoolRecord.get(pool_id, consistent_read=True)
    except PoolRecord.DoesNotExist:
        return None


def everything() -> list[PoolRecord]:
    return [each for each in PoolRecord.scan(consistent_read=True) if not each.pool_id.startswith(RESERVED)]


def put(pool: PoolRecord, *, expected_revision: int, now: datetime) -> None:
    """Store a pool, one revision on; `expected_revision` 0 makes it. Raises StaleRevision."""
    unchanged: Condition = (
        PoolRecord.pool_id.does_not_exist() if expected_revision == 0 else PoolRecord.revision == expected_revision
    )
    pool.revision, pool.updated_at = expected_revision + 1, now
    if not saved(pool, unchanged):
        raise StaleRevision


def register(limit: str) -> None:
    """Have every worker ask for a permit of this limit, from its next claim on.

    Raises Invalid where REGISTERED_MOST are registered: each claim reads them all, from one record.
    """
    limited = PoolRecord.limited
    room: Condition = limited.does_not_exist() | (size(limited) < REGISTERED_MOST) | limited.contains(limit)
    if not written(PoolRecord(REGISTER), [limited.add({limit})], room):
        raise Invalid(
            f"{REGISTERED_MOST:,} tasks and sources have, or had, a limit; no more can have one.",
            field="max_concurrency",
        )


def unregister(limit: str) -> None:
    written(PoolRecord(REGISTER), [PoolRecord.limited.delete({limit})], None)
