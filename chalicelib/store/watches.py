"""What `sweep` takes care of besides jobs: entries in the `leases` index, which it reads anyway.

An entry stands in the jobs table under an id that no job can have, with nothing but what the index takes. So a stage
without such work pays for no query, and one with much of it pays for what is due. A process puts the entry before it
begins the work: should it die, `sweep` finds the entry and finishes the work.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pynamodb.attributes import NumberAttribute, TTLAttribute, UnicodeAttribute

from chalicelib.store.base import InstantAttribute, Record, deleted, set_or_remove, table_name, written
from chalicelib.store.jobs import lease_shard


class Watched(StrEnum):
    """What an entry is about. Its id is this word, a full stop (ids in the API have none) and the subject's id."""

    RULE = "rule"  # a task's EventBridge rule; the subject is the task
    BATCH = "batch"
    PATROL = "patrol"  # a walk of the integrity check; the subject is the walk's name


KINDS = frozenset(Watched)


class WatchRecord(Record):
    class Meta:
        table_name = table_name("jobs")

    job_id = UnicodeAttribute(hash_key=True)
    # Absent while nothing is to be done.
    lease_shard = NumberAttribute(null=True)
    # From this instant on `sweep` takes the subject up.
    lease_until = InstantAttribute(null=True)
    # Of a walk: where it goes on; absent: it begins.
    cursor = UnicodeAttribute(null=True)
    expires_at = TTLAttribute(null=True)


def entry_id(kind: Watched, subject: str) -> str:
    return f"{kind}.{subject}"


def subject_of(lapsed_id: str) -> tuple[Watched, str] | None:
    """What an id from the `leases` index is about: the kind and the subject's id; None when it is a job's."""
    kind, _, subject = lapsed_id.partition(".")
    return (Watched(kind), subject) if kind in KINDS else None


def find(kind: Watched, subject: str) -> WatchRecord | None:
    try:
        return WatchRecord.get(entry_id(kind, subject), consistent_read=True)
    except WatchRecord.DoesNotExist:
        return None


def keep(kind: Watched, subject: str, *, until: datetime) -> None:
    """Have `sweep` take the subject up after an instant; replaces the one the entry had."""
    actions = [
        WatchRecord.lease_shard.set(lease_shard(subject)),
        WatchRecord.lease_until.set(until),
        WatchRecord.expires_at.remove(),
    ]
    written(WatchRecord(entry_id(kind, subject)), actions, None)


def begin(kind: Watched, subject: str, *, at: datetime) -> None:
    """Have `sweep` take the subject up from an instant on, unless it is to do so already."""
    written(
        WatchRecord(entry_id(kind, subject)),
        [WatchRecord.lease_shard.set(lease_shard(subject)), WatchRecord.lease_until.set(at)],
        WatchRecord.lease_until.does_not_exist(),
    )


def move_on(entry: WatchRecord, *, cursor: str | None, at: datetime) -> None:
    """Have the next turn begin at `cursor`, no earlier than `at`, unless another process has taken this turn."""
    written(
        entry,
        [set_or_remove(WatchRecord.cursor, cursor), WatchRecord.lease_until.set(at)],
        WatchRecord.lease_until == entry.lease_until,
    )


def expire(kind: Watched, subject: str, *, until: datetime, now: datetime) -> None:
    """Take the entry out of the index, unless its instant is no longer `until`; DynamoDB deletes the rest of it."""
    written(
        WatchRecord(entry_id(kind, subject)),
        [WatchRecord.lease_shard.remove(), WatchRecord.lease_until.remove(), WatchRecord.expires_at.set(now)],
        WatchRecord.lease_until == until,
    )


def delete(kind: Watched, subject: str, *, before: datetime | None = None) -> None:
    """Delete the entry; with `before` only when its instant is earlier."""
    condition = None if before is None else WatchRecord.lease_until < before
    deleted(WatchRecord(entry_id(kind, subject)), condition)
