"""How large each record may become, and the check that a new one leaves room for all that its life adds.

DynamoDB holds 400 KB of a record, and refuses an update that would make it larger: a job that fits when it is made and
not when it is claimed could never run. So each column that is written after the record was made counts here with the
most that it can come to, and all others as they are. docs/reference/record-sizes.md has all writes for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pynamodb.attributes import Attribute, BooleanAttribute, NumberAttribute, TTLAttribute

from chalicelib.core import record_bounds as most
from chalicelib.core.item_size import ITEM_BYTES, NUMBER_BYTES, column_bytes
from chalicelib.errors import RecordTooLarge
from chalicelib.store.base import InstantAttribute, Record
from chalicelib.store.catalogue import CalendarRecord, ReportRecord, SourceRecord
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.store.task_record import TaskRecord

# What a record may take, and still have room for the columns of later versions.
BUDGET_BYTES = ITEM_BYTES - most.RESERVE_BYTES

# The columns that are written after the record was made, and the most bytes of each. None: the type says it.
GROWS: Mapping[type[Record], Mapping[str, int | None]] = {
    JobRecord: {
        "status": most.WORD_BYTES,
        "trigger": most.WORD_BYTES,
        "reason": most.REASON_BYTES,
        "error": most.ERROR_BYTES,
        "summary": most.SUMMARY_BYTES,
        "files": most.MANIFESTS_BYTES,
        "cost": most.COST_BYTES,
        "facets": most.FACETS_BYTES,
        "operator": most.ACTOR_BYTES,
        "correlation_id": most.ID_BYTES,
        "cancel_requested_by": most.ACTOR_BYTES,
        # A name in JSON, in which a character outside the BMP takes twelve bytes.
        "deleted_by": 12 * most.ACTOR_CHARACTERS + 256,
        "acts": most.MARKS_MOST * (most.MARK_BYTES + 1) + 3,
        "holds": most.HOLDS_BYTES,
        "worker": most.WORKER_BYTES,
        "fence": most.ID_BYTES,
        "ready_pool": most.QUEUE_KEY_BYTES,
        "active_task": most.ID_BYTES,
        **dict.fromkeys(
            (
                "priority", "rank", "run_no", "attempts_spent", "tokens_sent", "lease_shard", "lateness_seconds",
                "rows", "bytes", "admitted", "buffered", "late", "outlives_task", "cancel_by_policy",
                "enqueued_at", "not_before",
                "lease_until", "next_attempt_at", "first_started_at", "started_at", "ended_at",
                "window_start", "cancel_requested_at", "stopped_at", "canceled_at", "deleted_at", "expires_at",
            )
        ),
    },
    RunRecord: {
        "status": most.WORD_BYTES,
        "reason": most.REASON_BYTES,
        "error": most.ERROR_BYTES,
        "summary": most.SUMMARY_BYTES,
        "files": most.MANIFESTS_BYTES,
        "definition": most.DEFINITION_BYTES,
        "cost": most.COST_BYTES,
        "worker": most.WORKER_BYTES,
        "fence": most.ID_BYTES,
        **dict.fromkeys(
            (
                "permanent", "statement_may_run", "rows", "bytes", "created_at", "started_at", "ended_at", "stopped_at",
                "expires_at",
            )
        ),
    },
    TaskRecord: {
        "note": most.NOTE_BYTES,
        "source_id": most.ID_BYTES,
        "latest_job_id": most.ID_BYTES,
        "latest_status": most.WORD_BYTES,
        "tzdata_version": most.WORD_BYTES,
        "ahead": most.AHEAD_BYTES,
        # EventBridge takes no longer expression.
        "rule_expression": 256,
        "rule_state": most.WORD_BYTES,
        **dict.fromkeys(
            (
                "revision", "updated_at", "due_shard", "next_fire_at", "previous_fire_at", "missed_since",
                "rule_revision", "latest_at",
            )
        ),
    },
    ReportRecord: dict.fromkeys(("revision", "updated_at")),
    SourceRecord: {
        "secret_version": most.ID_BYTES,
        **dict.fromkeys(("revision", "updated_at", "has_secret")),
    },
    CalendarRecord: dict.fromkeys(("revision", "updated_at")),
}  # fmt: skip


def largest_bytes(record: Record) -> int:
    """The size of the record at the end of the longest life that it may have."""
    grows = GROWS[type(record)]
    return sum(kept_bytes(record).values()) + sum(_grown_bytes(type(record), name) for name in grows)


def kept_bytes(record: Record) -> dict[str, int]:
    """The columns that stay as they are, and the size of each."""
    grows = GROWS[type(record)]
    stored = {each.attr_name: name for name, each in type(record).get_attributes().items()}
    columns = {stored[name]: column_bytes(name, value) for name, value in record.serialize().items()}
    return {name: size for name, size in columns.items() if name not in grows}


def growth_bytes(model: type[Record]) -> int:
    """The most that a life writes to a record of this table."""
    return sum(_grown_bytes(model, name) for name in GROWS[model])


def require_room(record: Record, *, fields: Iterable[str] = ()) -> None:
    """Raise RecordTooLarge, which names the field to shorten, when the record has no room for its whole life.

    `fields`: name the largest of these columns; of all columns unless given.
    """
    too_much = largest_bytes(record) - BUDGET_BYTES
    if too_much <= 0:
        return
    sizes = kept_bytes(record)
    named = max(set(fields) & sizes.keys() or sizes, key=lambda name: sizes[name])
    raise RecordTooLarge(
        f"It has {sizes[named]:,} bytes as the table holds it. Shorten it by {too_much:,}: the record holds "
        f"{BUDGET_BYTES:,} bytes in all.",
        field=named,
    )


def _grown_bytes(model: type[Record], name: str) -> int:
    column = model.get_attributes()[name]
    found = GROWS[model][name]
    return len(column.attr_name) + (_bytes_of_type(column) if found is None else found)


def _bytes_of_type(column: Attribute[object]) -> int:
    if isinstance(column, NumberAttribute | TTLAttribute):
        return NUMBER_BYTES
    if isinstance(column, BooleanAttribute):
        return 1
    assert isinstance(column, InstantAttribute), column
    return most.INSTANT_BYTES
