"""The names that tasks have or had: where a search by name begins, so that it need not read the jobs."""

from __future__ import annotations

from pynamodb.attributes import TTLAttribute, UnicodeAttribute

from chalicelib.store.base import Record, table_name

# One partition: names are few beside jobs, and change only when somebody edits a task.
REGISTRY = "tasks"


class NameRecord(Record):
    class Meta:
        table_name = table_name("names")

    registry = UnicodeAttribute(hash_key=True)
    # The task's id and a hash of the name: a task that was renamed has several.
    name_key = UnicodeAttribute(range_key=True)
    task_id = UnicodeAttribute()
    search_name = UnicodeAttribute()
    # Set once the task has lost the name: it is kept as long as jobs may have it.
    expires_at = TTLAttribute(null=True)
