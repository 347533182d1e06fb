"""Tasks: definitions, and the sparse index of those that are due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection, KeysOnlyProjection

from chalicelib.core.ids import shard_of
from chalicelib.core.lifecycle import JobStatus
from chalicelib.core.overlap import OverlapPolicy
from chalicelib.errors import StaleRevision, TaskNotFound
from chalicelib.store.base import (
    DocumentAttribute,
    EnumAttribute,
    InstantAttribute,
    Record,
    deleted,
    saved,
    set_or_remove,
    table_name,
    written,
)

# An index partition takes 1,000 writes a second, and an idle tick pays one query for each.
DUE_SHARDS = 4
# All tasks share one partition of the listing index: its columns change only when a task is edited.
LISTING = "tasks"


class DueIndex(GlobalSecondaryIndex["TaskRecord"]):
    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = NumberAttribute(hash_key=True)
    next_fire_at = InstantAttribute(range_key=True)


class ListingIndex(GlobalSecondaryIndex["TaskRecord"]):
    class Meta:
        index_name = "listing"
        projection = IncludeProjection(
            ["name", "kind", "group", "creator", "description", "enabled", "created_at", "schedule"]
        )

    listing = UnicodeAttribute(hash_key=True)
    task_id = UnicodeAttribute(range_key=True)


class TaskRecord(Record):
    class Meta:
        table_name = table_name("tasks")

    due = DueIndex()
    by_listing = ListingIndex()

    task_id = UnicodeAttribute(hash_key=True)
    listing = UnicodeAttribute(default=LISTING)
    name = UnicodeAttribute()
    kind = UnicodeAttribute()
    group = UnicodeAttribute(default="")
    creator = UnicodeAttribute()
    description = UnicodeAttribute(default="")
    enabled = BooleanAttribute(default=True)
    note = UnicodeAttribute(default="")
    spec = DocumentAttribute()
    # What the spec works on, as its kind says: the jobs' columns of these names.
    source_id = UnicodeAttribute(null=True)
    account_id = UnicodeAttribute(null=True)
    action = UnicodeAttribute(null=True)
    # How many jobs of the task may be active at once; absent: any number.
    max_concurrency = NumberAttribute(null=True)
    schedule = DocumentAttribute()
    window = DocumentAttribute(null=True)
    misfire = DocumentAttribute()
    overlap = UnicodeAttribute()
    retry = DocumentAttribute()
    parameters = DocumentAttribute(default=dict)
    priority = NumberAttribute(default=1000)
    pool = UnicodeAttribute(default="cloud")
    trigger = UnicodeAttribute(default="tick")
    deadline_seconds = NumberAttribute(null=True)
    queue_wait_limit_seconds = NumberAttribute(null=True)
    statement_timeout_seconds = NumberAttribute(null=True)
    # Grows by one with every edit; the ETag.
    revision = NumberAttribute(default=1)
    created_at = InstantAttribute()
    updated_at = InstantAttribute()
    # Present only while a slot is planned: what makes the due index sparse.
    due_shard = NumberAttribute(null=True)
    next_fire_at = InstantAttribute(null=True)
    # The time-zone data that `next_fire_at` was computed with.
    tzdata_version = UnicodeAttribute(null=True)
    # The last slot taken out of the plan, run or not: where `since_previous_fire` begins.
    previous_fire_at = InstantAttribute(null=True)
    # Where the window of the first slot recorded missed since one last ran begins: so does a `union` window.
    missed_since = InstantAttribute(null=True)
    # The task's own EventBridge rule as it was last put or adopted, and the task's revision then.
    rule_expression = UnicodeAttribute(null=True)
    rule_state = UnicodeAttribute(null=True)
    rule_revision = NumberAttribute(null=True)
    latest_job_id = UnicodeAttribute(null=True)
    latest_status = EnumAttribute(JobStatus, null=True)
    latest_at = InstantAttribute(null=True)


@dataclass(frozen=True)
class DefinitionField:
    """How a column of a task's definition gets its value, and whether a job gets it too."""

    # What a caller gets who leaves the field out or sends null.
    default: Any = None
    # The job's column of the same name gets the value as it is.
    in_job: bool = False
    # False: no caller gives it; the kind derives it from the spec.
    given: bool = True


# Every column that an edit of the definition writes. A new field is one row here, its column above and its place in
# the API's models of a task; `tests/tasks/test_definition.py` compares them.
DEFINITION: dict[str, DefinitionField] = {
    "name": DefinitionField(),
    "kind": DefinitionField(in_job=True),
    # A job of a task without a group has no such column: its index by group is sparse.
    "group": DefinitionField(""),
    "description": DefinitionField("", in_job=True),
    "enabled": DefinitionField(True),
    "spec": DefinitionField(in_job=True),
    "source_id": DefinitionField(in_job=True, given=False),
    "account_id": DefinitionField(in_job=True, given=False),
    "action": DefinitionField(in_job=True, given=False),
    "max_concurrency": DefinitionField(),
    "schedule": DefinitionField(),
    "window": DefinitionField(),
    "misfire": DefinitionField("fire_once"),
    "overlap": DefinitionField(OverlapPolicy.SKIP.value, in_job=True),
    "retry": DefinitionField(in_job=True),
    # A start by hand or an event adds its own.
    "parameters": DefinitionField({}),
    "priority": DefinitionField(1000, in_job=True),
    "pool": DefinitionField("cloud", in_job=True),
    "trigger": DefinitionField("tick"),
    "deadline_seconds": DefinitionField(in_job=True),
    "queue_wait_limit_seconds": DefinitionField(in_job=True),
    "statement_timeout_seconds": DefinitionField(in_job=True),
}
GIVEN = tuple(name for name, field in DEFINITION.items() if field.given)
IN_JOB = tuple(name for name, field in DEFINITION.items() if field.in_job)
# What an edit writes besides: its note and instant, and the plan.
_EDIT_AND_PLAN = ("note", "updated_at", "due_shard", "next_fire_at", "tzdata_version")


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
    return list(TaskRecord.batch_get(list(dict.fromkeys(task_ids)), consistent_read=True))


def changed(task: TaskRecord, **columns: Any) -> TaskRecord:
    """The task with other values in some columns, not written; the record at hand stays as it is."""
    return TaskRecord(**{**task.attribute_values, **columns})


def insert(task: TaskRecord) -> bool:
    """Put a new task; False when its id is taken (the same request, repeated)."""
    return saved(task, TaskRecord.task_id.does_not_exist())


def overwrite(task: TaskRecord, *, expected_revision: int) -> None:
    """Replace a task's definition. Raises StaleRevision when it was edited or deleted since `expected_revision`.

    What firing keeps on the task (`previous_fire_at`, the latest status) may have moved since it was read; the caller
    decides the schedule's columns, and the rest is left alone.
    """
    actions: list[Any] = [TaskRecord.revision.set(expected_revision + 1)]
    for name in (*DEFINITION, *_EDIT_AND_PLAN):
        actions.append(set_or_remove(getattr(TaskRecord, name), getattr(task, name)))
    if not written(task, actions, TaskRecord.revision == expected_revision):
        raise StaleRevision


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
    previous_fire_at: datetime,
    missed_since: datetime | None,
    tzdata_version: str,
) -> bool:
    """Move a task's plan past its slot; False when another tick did, or the task was edited meanwhile."""
    condition: Condition = (TaskRecord.next_fire_at == task.next_fire_at) & (TaskRecord.revision == task.revision)
    actions: list[Any] = [
        TaskRecord.previous_fire_at.set(previous_fire_at),
        TaskRecord.tzdata_version.set(tzdata_version),
        set_or_remove(TaskRecord.missed_since, missed_since),
    ]
    if next_fire_at is None:
        actions += [TaskRecord.next_fire_at.remove(), TaskRecord.due_shard.remove()]
    else:
        actions.append(TaskRecord.next_fire_at.set(next_fire_at))
    return written(task, actions, condition)


def note_fire(task: TaskRecord, *, at: datetime, missed_since: datetime | None) -> bool:
    """Remember a slot that a rule's event told of; False when a later one is known already, or the task is gone."""
    previous = TaskRecord.previous_fire_at
    actions: list[Any] = [
        previous.set(at),
        set_or_remove(TaskRecord.missed_since, missed_since),
    ]
    return written(task, actions, TaskRecord.name.exists() & (previous.does_not_exist() | (previous < at)))


def note_rule(task: TaskRecord, *, expression: str | None, state: str | None) -> bool:
    """Remember what this revision's rule is, or with None that it has none; False when the task was edited since."""
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
    """Tell those who look at the task something; no edit, so its revision stays."""
    written(task, [TaskRecord.note.set(text)], TaskRecord.revision == task.revision)


def set_source(task_id: str, source_id: str) -> None:
    """The report that the task exports reads another source now; what is planned from here on says so."""
    written(TaskRecord(task_id), [TaskRecord.source_id.set(source_id)], TaskRecord.name.exists())


def note_latest(task_id: str, *, job_id: str, status: JobStatus, at: datetime) -> None:
    """Show a job's status as the task's latest, unless a later job's is shown already or the task is gone."""
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
