"""The names that tasks have or had: where a search by name begins, so that it need not read the jobs.

A name is registered before the task is saved with it, so that no job has a name the registry does not know; what a save
that failed leaves here costs a search one row. A name that the task lost stays as long as jobs may have it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from pynamodb.attributes import NumberAttribute, TTLAttribute, UnicodeAttribute

from chalicelib.core.facets import folded
from chalicelib.store.base import InstantAttribute, Record, saved, table_name, written

# One partition: names are few beside jobs, and change only when a task is edited.
REGISTRY = "tasks"


class NameRecord(Record):
    class Meta:
        table_name = table_name("names")

    registry = UnicodeAttribute(hash_key=True)
    # The task's id and a hash of the name: a task that was renamed has several.
    name_key = UnicodeAttribute(range_key=True)
    task_id = UnicodeAttribute()
    search_name = UnicodeAttribute()
    # The task's revision in the last save with this name.
    revision = NumberAttribute()
    # Set once the task has lost the name: when, and until when jobs may have it.
    lost_at = InstantAttribute(null=True)
    expires_at = TTLAttribute(null=True)


def register(task_id: str, name: str, *, revision: int) -> None:
    """Note a name before the task is saved with it as this revision."""
    row = NameRecord(REGISTRY, _key(task_id, name), task_id=task_id, search_name=folded(name), revision=revision)
    # Refused where a later edit has registered the name: the save of this edit will fail too.
    saved(row, NameRecord.name_key.does_not_exist() | (NameRecord.revision <= revision))


def release(task_id: str, name: str, *, revision: int, now: datetime, expires_at: datetime) -> None:
    """Note that the task lost the name that it had as this revision, unless it has taken it again since.

    `expires_at`: when no job can have the name any more.
    """
    actions: list[Any] = [NameRecord.lost_at.set(now), NameRecord.expires_at.set(expires_at)]
    row = NameRecord(REGISTRY, _key(task_id, name))
    written(row, actions, NameRecord.revision <= revision)


def tasks_named(text: str, *, limit: int) -> dict[str, datetime | None]:
    """Up to `limit` tasks whose name, now or formerly, holds a folded text, and when such a name was lost, if it was.

    Reads the names of all tasks.
    """
    found: dict[str, datetime | None] = {}
    for row in NameRecord.query(REGISTRY, filter_condition=NameRecord.search_name.contains(text)):
        before = found.get(row.task_id, row.lost_at)
        found[row.task_id] = None if before is None or row.lost_at is None else max(before, row.lost_at)
        if len(found) == limit:
            break
    return found


def _key(task_id: str, name: str) -> str:
    return f"{task_id}#{hashlib.sha256(folded(name).encode()).hexdigest()[:16]}"
