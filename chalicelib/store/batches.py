"""Batches: one action on many jobs. Part 0 is the batch itself; the parts after it hold its jobs and their outcomes.

accept: put parts 1..n, then part 0; without part 0 they are no batch
step:   acquire part 0 ── open the next part ── note progress in part 0, group after group of its jobs ──
        close the part with its outcomes ── note that in part 0 ── … ── end
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pynamodb.attributes import NumberAttribute, TTLAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection

from chalicelib.core.bounds import shortened
from chalicelib.core.ids import month_bucket
from chalicelib.core.record_bounds import OUTCOME_MESSAGE_BYTES
from chalicelib.errors import BatchNotFound
from chalicelib.store.base import (
    DocumentAttribute,
    EnumAttribute,
    InstantAttribute,
    Record,
    read_many,
    saved,
    table_name,
    written,
)

# Jobs in a part: as many as DynamoDB reads at once. Every size of a page divides it, so a page is in one part.
PART_JOBS = 100


class BatchStatus(StrEnum):
    RUNNING = "running"
    DONE = "done"  # every job has an outcome
    CANCELED = "canceled"  # on request, before every job was tried


class Outcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"  # the job's status did not allow it, or a service failed again and again
    NOT_FOUND = "not_found"
    CANCELED = "canceled"  # not tried: the batch was cancelled before


class OutcomeRow(NamedTuple):
    """What became of one job; in the table, a JSON list of the three."""

    outcome: str  # an Outcome; "pending" where a job was not tried yet
    message: str | None
    status: str | None  # the job's afterwards; None for a job that is gone


class StateBefore(NamedTuple):
    """What a job was when its part was opened; in the table, a JSON list of the two."""

    status: str
    priority: int


class ListingIndex(GlobalSecondaryIndex["BatchRecord"]):
    """The batches of a month, as their parts 0."""

    class Meta:
        index_name = "listing"
        projection = KeysOnlyProjection()

    month = UnicodeAttribute(hash_key=True)
    batch_id = UnicodeAttribute(range_key=True)


class BatchRecord(Record):
    class Meta:
        table_name = table_name("batches")

    listing = ListingIndex()

    batch_id = UnicodeAttribute(hash_key=True)
    part = NumberAttribute(range_key=True)
    expires_at = TTLAttribute(null=True)

    # Of part 0.
    month = UnicodeAttribute(null=True)
    action = UnicodeAttribute(null=True)
    priority = NumberAttribute(null=True)
    # As it was asked; absent when the jobs were named.
    filter = DocumentAttribute(null=True)
    actor = UnicodeAttribute(null=True)
    role = UnicodeAttribute(null=True)
    token_id = UnicodeAttribute(null=True)
    subject = UnicodeAttribute(null=True)
    created_at = InstantAttribute(null=True)
    status = EnumAttribute(BatchStatus, null=True)
    total = NumberAttribute(null=True)
    # How many of its parts are closed, and how many jobs in them came to which outcome.
    closed = NumberAttribute(null=True)
    counts = DocumentAttribute(null=True)
    # The same of the part that is being worked on, as far as it has come.
    open_counts = DocumentAttribute(null=True)
    cancel_requested_at = InstantAttribute(null=True)
    cancel_requested_by = UnicodeAttribute(null=True)
    ended_at = InstantAttribute(null=True)
    # The worker that holds its lease, and until when.
    holder = UnicodeAttribute(null=True)
    held_until = InstantAttribute(null=True)

    # Of the parts after it.
    job_ids = DocumentAttribute(null=True)
    # A StateBefore for each job; null for one that was not there when the part was opened.
    before = DocumentAttribute(null=True)
    # How often it was opened.
    tries = NumberAttribute(null=True)
    # An OutcomeRow for each job, written once and all together.
    outcomes = DocumentAttribute(null=True)

    @property
    def states_before(self) -> list[StateBefore | None]:
        return [None if row is None else StateBefore(*row) for row in self.before]

    @property
    def outcome_rows(self) -> list[OutcomeRow] | None:
        """What became of the jobs of a part, in the order of `job_ids`; None while the part is open."""
        return None if self.outcomes is None else [OutcomeRow(*row) for row in self.outcomes]

    @property
    def parts(self) -> int:
        """How many parts a batch has, itself not counted."""
        return -(-int(self.total or 0) // PART_JOBS)


def parts_of(job_ids: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    for number, at in enumerate(range(0, len(job_ids), PART_JOBS), 1):
        yield number, job_ids[at : at + PART_JOBS]


def put_part(batch_id: str, number: int, job_ids: Sequence[str], *, expires_at: datetime) -> None:
    """Freeze the jobs of a part. Only before the batch itself is there."""
    saved(BatchRecord(batch_id, number, job_ids=list(job_ids), expires_at=expires_at), None)


def insert(batch: BatchRecord) -> bool:
    """Put the batch itself, after its parts; False when it is there."""
    batch.month = month_bucket(batch.batch_id)
    return saved(batch, BatchRecord.batch_id.does_not_exist())


def find(batch_id: str, part: int = 0) -> BatchRecord | None:
    try:
        return BatchRecord.get(batch_id, part, consistent_read=True)
    except BatchRecord.DoesNotExist:
        return None


def get(batch_id: str) -> BatchRecord:
    found = find(batch_id)
    if found is None:
        raise BatchNotFound(f"There is no batch {batch_id}.")
    return found


def parts(batch_id: str) -> Iterator[BatchRecord]:
    """The parts after part 0, in order."""
    return iter(BatchRecord.query(batch_id, BatchRecord.part > 0, consistent_read=True))


def newest_first(months: Iterable[str]) -> Iterator[str]:
    """Ids of the batches of these months."""
    for month in months:
        for row in BatchRecord.listing.query(month, scan_index_forward=False):
            yield row.batch_id


def get_many(batch_ids: Sequence[str]) -> list[BatchRecord]:
    """Those that exist, in the order of the ids."""
    keys = [(batch_id, 0) for batch_id in batch_ids]
    found = {each.batch_id: each for each in read_many(BatchRecord, keys, consistent=False)}
    return [found[batch_id] for batch_id in batch_ids if batch_id in found]


# --- steps ------------------------------------------------------------------------------------------------------------


def acquire(batch: BatchRecord, *, holder: str, now: datetime, until: datetime) -> bool:
    """Take the lease of a running batch; False when another worker holds it, or the batch has ended."""
    free = BatchRecord.held_until.does_not_exist() | (BatchRecord.held_until <= now)
    actions = [BatchRecord.holder.set(holder), BatchRecord.held_until.set(until)]
    return written(batch, actions, (BatchRecord.status == BatchStatus.RUNNING) & free)


def open_part(part: BatchRecord, before: list[StateBefore | None]) -> None:
    """Note the jobs' state before anything is done to them, once, and count the try."""
    opened = BatchRecord.before
    written(part, [opened.set(opened | before), BatchRecord.tries.set((BatchRecord.tries | 0) + 1)], None)


def close_part(part: BatchRecord, outcomes: list[OutcomeRow]) -> bool:
    """Write the outcomes; False when the part has outcomes, which then stand."""
    rows = [row if row.message is None else row._replace(message=_cut(row.message)) for row in outcomes]
    return written(part, [BatchRecord.outcomes.set(rows)], BatchRecord.outcomes.does_not_exist())


def _cut(message: str) -> str:
    return shortened(message, OUTCOME_MESSAGE_BYTES)


def note_closed(batch: BatchRecord, counts: dict[str, int], *, until: datetime) -> bool:
    """Count one more part as closed; False when the lease is lost."""
    actions = [
        BatchRecord.closed.set(batch.closed + 1),
        BatchRecord.counts.set(counts),
        BatchRecord.open_counts.remove(),
        BatchRecord.held_until.set(until),
    ]
    return written(batch, actions, _held(batch) & (BatchRecord.closed == batch.closed))


def note_progress(batch: BatchRecord, counts: dict[str, int]) -> bool:
    """Show how far the open part has come, and bring `batch` up to date; False when the lease is lost."""
    return written(batch, [BatchRecord.open_counts.set(counts)], _held(batch))


def release(batch: BatchRecord) -> bool:
    """Give up the lease, so that another worker can go on."""
    return written(batch, [BatchRecord.holder.remove(), BatchRecord.held_until.remove()], _held(batch))


def end(batch: BatchRecord, status: BatchStatus, counts: dict[str, int], *, now: datetime) -> bool:
    actions = [
        BatchRecord.status.set(status),
        BatchRecord.counts.set(counts),
        BatchRecord.open_counts.remove(),
        BatchRecord.ended_at.set(now),
        BatchRecord.holder.remove(),
        BatchRecord.held_until.remove(),
    ]
    return written(batch, actions, _held(batch))


def request_cancel(batch: BatchRecord, *, by: str, now: datetime) -> bool:
    """Ask that no further job be tried. False when that was asked before, which stands, or when the batch has ended."""
    actions = [BatchRecord.cancel_requested_at.set(now), BatchRecord.cancel_requested_by.set(by)]
    running = BatchRecord.status == BatchStatus.RUNNING
    return written(batch, actions, running & BatchRecord.cancel_requested_at.does_not_exist())


def _held(batch: BatchRecord) -> Condition:
    held: Condition = (BatchRecord.holder == batch.holder) & (BatchRecord.status == BatchStatus.RUNNING)
    return held
