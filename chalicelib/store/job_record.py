"""The jobs table: one item per slot or start by hand, and the indexes that lists, claims and repair read."""

from __future__ import annotations

from typing import Any

from pynamodb.attributes import (
    Attribute,
    BooleanAttribute,
    NumberAttribute,
    TTLAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
)
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection, KeysOnlyProjection

from chalicelib.core.lifecycle import JobStatus, Reason, Trigger
from chalicelib.store.base import DocumentAttribute, EnumAttribute, InstantAttribute, Record, list_index, table_name

# What the index of a list carries beside its keys: enough to apply every filter, and no more, since each column is
# written to a dozen indexes. The rows themselves are read from the table, a page of them. DynamoDB allows 100 such
# columns in all indexes of a table together, so one set (`facets`) stands for all the columns that filters compare.
LISTED = ["facets", "search_name"]
# Spreads the leases of all open jobs; an idle sweep pays one query for each.
LEASE_SHARDS = 4


def listed(column: str, key: Attribute[Any] | None = None) -> GlobalSecondaryIndex[JobRecord]:
    """The index of a list: the jobs that have a value in this column, in the order of their ids."""
    keys = {column: key or UnicodeAttribute(hash_key=True), "job_id": UnicodeAttribute(range_key=True)}
    return list_index(keys, LISTED)


class ReadyIndex(GlobalSecondaryIndex["JobRecord"]):
    """The queues of waiting jobs by their keys (`core/queue_keys.py`), best rank first."""

    class Meta:
        index_name = "ready"
        projection = IncludeProjection(["not_before"])

    ready_pool = UnicodeAttribute(hash_key=True)
    rank = NumberAttribute(range_key=True)


class LeasesIndex(GlobalSecondaryIndex["JobRecord"]):
    """Jobs that have not ended, or are being deleted, by the end of their lease, and the entries of `watches.py`."""

    class Meta:
        index_name = "leases"
        projection = KeysOnlyProjection()

    lease_shard = NumberAttribute(hash_key=True)
    lease_until = InstantAttribute(range_key=True)


class ActiveIndex(GlobalSecondaryIndex["JobRecord"]):
    """The jobs of a task that have not ended: the overlap policy compares with these."""

    class Meta:
        index_name = "active"
        projection = KeysOnlyProjection()

    active_task = UnicodeAttribute(hash_key=True)
    job_id = UnicodeAttribute(range_key=True)


class JobRecord(Record):
    class Meta:
        table_name = table_name("jobs")

    timeline = listed("month")
    by_status = listed("status", EnumAttribute(JobStatus, hash_key=True))
    by_task = listed("task_id")
    by_account = listed("account_id")
    by_operator = listed("operator")
    by_source = listed("source_id")
    by_reason = listed("reason", EnumAttribute(Reason, hash_key=True))
    by_action = listed("action")
    by_group = listed("group")
    ready = ReadyIndex()
    leases = LeasesIndex()
    active = ActiveIndex()

    job_id = UnicodeAttribute(hash_key=True)
    # Its partition of the timeline (`core/ids.py`).
    month = UnicodeAttribute()

    # Frozen when the job was made.
    task_id = UnicodeAttribute()
    task_name = UnicodeAttribute()
    # The task's name as a search sees it (`core/facets.py`).
    search_name = UnicodeAttribute()
    # What filters compare (`core/facets.py`).
    facets = UnicodeSetAttribute()
    task_revision = NumberAttribute()
    kind = UnicodeAttribute()
    # Absent rather than empty: it is the key of an index.
    group = UnicodeAttribute(null=True)
    creator = UnicodeAttribute()
    description = UnicodeAttribute(default="")
    spec = DocumentAttribute()
    parameters = DocumentAttribute(default=dict)
    timezone = UnicodeAttribute(default="UTC")
    window_start = InstantAttribute(null=True)
    window_end = InstantAttribute(null=True)
    # A slot's window that begins where that of the slot before ends: a run covers what no run before it did.
    follows_previous = BooleanAttribute(null=True)
    scheduled_for = InstantAttribute()
    created_at = InstantAttribute()
    trigger = EnumAttribute(Trigger)
    # Who started it by hand, or ran it again; absent for a job of a schedule.
    operator = UnicodeAttribute(null=True)
    # Of the request or the event that made it wait: function logs and API Gateway's access log have the same id.
    correlation_id = UnicodeAttribute(null=True)
    source_id = UnicodeAttribute(null=True)
    account_id = UnicodeAttribute(null=True)
    action = UnicodeAttribute(null=True)
    overlap = UnicodeAttribute()
    retry = DocumentAttribute()
    deadline_seconds = NumberAttribute(null=True)
    queue_wait_limit_seconds = NumberAttribute(null=True)
    statement_timeout_seconds = NumberAttribute(null=True)

    # Where it is.
    status = EnumAttribute(JobStatus)
    reason = EnumAttribute(Reason, null=True)
    error = UnicodeAttribute(null=True)
    pool = UnicodeAttribute()
    priority = NumberAttribute()
    # Since when it waits; with the priority it gives the rank.
    enqueued_at = InstantAttribute()
    # Not to be claimed before: the slot, or the time of the next attempt.
    not_before = InstantAttribute()
    # True once the overlap policy let it into its queue.
    admitted = BooleanAttribute(default=False)
    # Held back by the overlap policy until an earlier job of the task ends.
    buffered = BooleanAttribute(default=False)
    # Run after its time by the misfire policy: later slots of the task wait for it under every overlap policy.
    late = BooleanAttribute(default=False)
    # Was due before its task was deleted, so it runs nevertheless.
    outlives_task = BooleanAttribute(default=False)
    ready_pool = UnicodeAttribute(null=True)
    rank = NumberAttribute(null=True)
    lease_shard = NumberAttribute(null=True)
    lease_until = InstantAttribute(null=True)
    active_task = UnicodeAttribute(null=True)
    # How often its token was sent: each lease is twice as long as the one before.
    tokens_sent = NumberAttribute(default=1)

    # The run that works on it, or did last. `fence` is new with every claim: a worker without it can change nothing.
    run_no = NumberAttribute(default=0)
    fence = UnicodeAttribute(null=True)
    # The limits (`task:<id>`, `source:<id>`) in which the run with this fence holds a permit.
    holds = UnicodeSetAttribute(null=True)
    worker = UnicodeAttribute(null=True)
    # Attempts since the start or the last re-run: what `retry.max_attempts` counts.
    attempts_spent = NumberAttribute(default=0)
    next_attempt_at = InstantAttribute(null=True)

    first_started_at = InstantAttribute(null=True)
    started_at = InstantAttribute(null=True)
    ended_at = InstantAttribute(null=True)
    cancel_requested_at = InstantAttribute(null=True)
    cancel_requested_by = UnicodeAttribute(null=True)
    # Whether a policy asked: an actor may have the name of one.
    cancel_by_policy = BooleanAttribute(null=True)
    stopped_at = InstantAttribute(null=True)
    canceled_at = InstantAttribute(null=True)
    lateness_seconds = NumberAttribute(null=True)

    # The idempotency keys and the batches that acted on it: a repeat of theirs changes nothing.
    acts = UnicodeSetAttribute(null=True)
    # Being deleted since, by {name, role, batch}: its files, logs and runs are removed before the record.
    deleted_at = InstantAttribute(null=True)
    deleted_by = DocumentAttribute(null=True)

    rows = NumberAttribute(null=True)
    bytes = NumberAttribute(null=True)
    summary = UnicodeAttribute(null=True)
    files = DocumentAttribute(null=True)
    # The sum over its runs (worker/metering.py).
    cost = DocumentAttribute(null=True)
    expires_at = TTLAttribute(null=True)
