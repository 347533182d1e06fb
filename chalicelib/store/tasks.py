"""Reads and writes of tasks: definitions, and the sparse index of those that are due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from pynamodb.expressions.condition import Condition

from chalicelib.core.bounds import shortened
from chalicelib.core.ids import shard_of
from chalicelib.core.lifecycle import JobStatus
from chalicelib.core.record_bounds import NOTE_BYTES
from chalicelib.errors import StaleRevision, TaskNotFound
from chalicelib.store.base import deleted, read_many, saved, set_or_remove, written
from chalicelib.store.task_record import DEFINITION, LISTING, TaskRecord

# An index partition takes 1,000 writes a second, and an idle tick pays one query for each.
DUE_SHARDS = 4
# What an edit writes besides: its note and instant, and the plan.
_EDIT_AND_PLAN = (
    "note", "updated_at", "due_shard", "next_fire_at", "tzdata_version", "previous_fire_at", "missed_since", "ahead",
)  # fmt: skip


def get(task_id: str, *, consistent: bool = True) -> TaskRecord:
    try:
        return TaskRecord.get(task_id, consistent_read=consistent)
    except TaskRecord.DoesNotExist:
        raise TaskNotFound(f"There is no task {task_id}.") from None


def find(task_id: str) -> TaskRecord | None:
    try:
        return TaskRecord.get(task_id, consistent_read=True)
    except TaskRecord.DoesNotExist:
        return None


def get_many(task_ids: Iterable[str]) -> list[TaskRecord]:
    """The tasks that exist among these, read consistently, in no order."""
    return read_many(TaskRecord, task_ids)


def changed(task: TaskRecord, **columns: Any) -> TaskRecord:
    """The task with other values in some columns, not written; the record at hand stays as it is."""
    return TaskRecord(**{**task.attribute_values, **columns})


def insert(task: TaskRecord) -> bool:
    """Put a new task; False when its id is taken (the same request, repeated)."""
    return saved(task, TaskRecord.task_id.does_not_exist())


def overwrite(task: TaskRecord, *, expected_revision: int, previous_fire_at: datetime | None) -> bool:
    """Replace a task's definition and its plan. Raises StaleRevision when it was edited or deleted since that revision.

    False when firing moved the plan since it was read: `previous_fire_at` is the one that the new plan begins from. The
    latest status is left alone.
    """
    actions: list[Any] = [TaskRecord.revision.set(expected_revision + 1)]
    for name in (*DEFINITION, *_EDIT_AND_PLAN):
        actions.append(set_or_remove(getattr(TaskRecord, name), getattr(task, name)))
    known = TaskRecord.previous_fire_at
    unmoved = known.does_not_exist() if previous_fire_at is None else known == previous_fire_at
    if written(task, actions, (TaskRecord.revision == expected_revision) & unmoved):
        return True
    there = find(task.task_id)
    if there is None or there.revision != expected_revision:
        raise StaleRevision
    return False


def remove(task_id: str, *, expected_revision: int) -> None:
    if not deleted(TaskRecord(task_id), TaskRecord.revision == expected_revision):
        raise StaleRevision


def due_ids(shard: int, *, before: datetime) -> Iterator[str]:
    """Ids of the enabled tasks whose next slot is before the instant, earliest first."""
    for row in TaskRecord.due.query(shard, TaskRecord.next_fire_at < before):
        yield row.task_id


def advance(
    task: TaskRecord,
    *,
    next_fire_at: datetime | None,
    previous_fire_at: datetime | None,
    missed_since: datetime | None,
    tzdata_version: str,
    ahead: list[Any] | None = None,
) -> bool:
    """Move a task's plan past its slot; False when another tick did, or the task was edited meanwhile."""
    condition: Condition = (TaskRecord.next_fire_at == task.next_fire_at) & (TaskRecord.revision == task.revision)
    actions: list[Any] = [
        set_or_remove(TaskRecord.previous_fire_at, previous_fire_at),
        TaskRecord.tzdata_version.set(tzdata_version),
        set_or_remove(TaskRecord.missed_since, missed_since),
        set_or_remove(TaskRecord.ahead, ahead),
    ]
    if next_fire_at is None:
        actions += [TaskRecord.next_fire_at.remove(), TaskRecord.due_shard.remove()]
    else:
        actions.append(TaskRecord.next_fire_at.set(next_fire_at))
    return written(task, actions, condition)


def note_fire(task: TaskRecord, *, at: datetime, missed_since: datetime | None) -> bool:
    """Remember a slot that a rule's event reported; False when a later one is known, or the task is deleted."""
    previous = TaskRecord.previous_fire_at
    actions: list[Any] = [
        previous.set(at),
        set_or_remove(TaskRecord.missed_since, missed_since),
    ]
    return written(task, actions, TaskRecord.name.exists() & (previous.does_not_exist() | (previous < at)))


def note_rule(task: TaskRecord, *, expression: str | None, state: str | None) -> bool:
    """Note what this revision's rule is, or with None that it has none; False when the task was edited since."""
    if expression is None or state is None:
        actions: list[Any] = [
            TaskRecord.rule_expression.remove(), TaskRecord.rule_state.remove(), TaskRecord.rule_revision.remove(),
        ]  # fmt: skip
    else:
        actions = [
            TaskRecord.rule_expression.set(expression),
            TaskRecord.rule_state.set(state),
            TaskRecord.rule_revision.set(task.revision),
        ]
    return written(task, actions, TaskRecord.revision == task.revision)


def note(task: TaskRecord, text: str) -> None:
    """Show a note on the task; it is no edit, so the revision stays."""
    written(task, [TaskRecord.note.set(shortened(text, NOTE_BYTES))], TaskRecord.revision == task.revision)


def set_source(task_id: str, source_id: str) -> None:
    """Note that the task's report now reads another source: jobs planned from here on name this one."""
    written(TaskRecord(task_id), [TaskRecord.source_id.set(source_id)], TaskRecord.name.exists())


def note_latest(task_id: str, *, job_id: str, status: JobStatus, at: datetime) -> None:
    """Show a job's status as the task's latest, unless a later job's is shown already or the task is deleted."""
    latest = TaskRecord.latest_job_id
    written(
        TaskRecord(task_id),
        [latest.set(job_id), TaskRecord.latest_status.set(status), TaskRecord.latest_at.set(at)],
        TaskRecord.name.exists() & (latest.does_not_exist() | (latest <= job_id)),
    )


def listed() -> Iterator[TaskRecord]:
    """Every task, with the listing's columns only, newest first."""
    yield from TaskRecord.by_listing.query(LISTING, scan_index_forward=False)


def ids_named(name: str) -> list[str]:
    """Ids of the tasks with exactly this name, newest first."""
    return [task.task_id for task in listed() if task.name == name]


def on_calendar(calendar_id: str) -> list[TaskRecord]:
    """The tasks whose schedule names the calendar, with the listing's columns only, newest first."""
    return [task for task in listed() if (task.schedule or {}).get("calendar") == calendar_id]


def whose_spec_names(record_id: str) -> list[TaskRecord]:
    """The tasks whose spec names the record, whole, in no order; ids are unique, so no other record is meant.

    The cost grows with the number of definitions.
    """
    return list(TaskRecord.scan(TaskRecord.spec.contains(record_id), consistent_read=True))


def everything() -> Iterator[TaskRecord]:
    """Every task whole, in no order; the cost grows with the number of definitions, not of jobs."""
    yield from TaskRecord.scan()


def shard(task_id: str) -> int:
    return shard_of(task_id, DUE_SHARDS)
