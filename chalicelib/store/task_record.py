"""A task's record: its columns, its indexes, and the one list of what belongs to its definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection, KeysOnlyProjection

from chalicelib.core.lifecycle import JobStatus
from chalicelib.core.overlap import OverlapPolicy
from chalicelib.store.base import DocumentAttribute, EnumAttribute, InstantAttribute, Record, table_name

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
    # The last planned slot that ran or was to run; days off do not count. `since_previous_fire` begins there.
    previous_fire_at = InstantAttribute(null=True)
    # Under `union`: where the window of the first slot recorded missed since one last ran begins. The next run's does.
    missed_since = InstantAttribute(null=True)
    # The two columns above as they were before each slot planned ahead (`scheduling/ahead.py`): an edit restores them.
    ahead = DocumentAttribute(null=True)
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
