"""Accepts batches: one action on up to 10,000 jobs. `batch_worker` works them off, `batch_listing` reads them.

accept: watch ──> store the job ids, in parts ──> the batch ──> audit ──> its message
          └ if the process dies from here on, `sweep` finds the batch by its watch and sends the message again
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chalicelib import retention
from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.aws import sqs
from chalicelib.core.ids import ulid
from chalicelib.core.instants import sortable
from chalicelib.errors import FieldProblem, Invalid, WrongState
from chalicelib.jobs import listing as job_listing
from chalicelib.jobs.actions import Action, refusal
from chalicelib.store import batches as store
from chalicelib.store import jobs, watches
from chalicelib.store.batches import BatchRecord, BatchStatus
from chalicelib.store.job_list_plan import JobFilter
from chalicelib.store.watches import Watched

# This many ids fit a request's body, and one request stores this many well within its time.
MOST_JOBS = 10_000
# `sweep` leaves a batch to its worker, or to the message on its way, for this long after the last sign of life.
LEASE = timedelta(seconds=120)


@dataclass(frozen=True)
class BatchRequest:
    """What a batch does, and to which jobs: those of `job_ids`, or those that match the filter."""

    action: Action
    job_ids: Sequence[str] | None = None
    filter: JobFilter | None = None
    # The filter as the caller wrote it, a JSON object: what the batch's record and its audit show.
    filter_document: Mapping[str, Any] | None = None
    priority: int | None = None

    def check(self) -> None:
        """Raise Invalid, naming the field, when the parts of the request do not go together."""
        if (self.job_ids is None) == (self.filter is None):
            raise Invalid("Give job_ids or filter, one of the two.", field="job_ids")
        if self.filter is not None and not self._filter_names_something():
            message = 'Name what the jobs have in common; {"created": "all"} is every job.'
            raise Invalid(message, field="filter")
        if (self.action is Action.SET_PRIORITY) != (self.priority is not None):
            raise Invalid("priority belongs to set_priority, which needs it.", field="priority")

    def _filter_names_something(self) -> bool:
        """Whether the filter has a field with a value. A time zone, an empty list or null lets every job through."""
        given = (self.filter_document or {}).items()
        return any(value not in (None, []) for name, value in given if name != "timezone")


@contextmanager
def within_filter() -> Iterator[None]:
    """Problems with a field of the filter are raised as problems with `filter.<field>` of the request."""
    try:
        yield
    except Invalid as error:
        problems = [FieldProblem(f"filter.{each.field}", each.message) for each in error.problems]
        raise Invalid(error.message, problems=problems) from error


def _job_ids(request: BatchRequest, *, now: datetime) -> list[str]:
    """The ids of the batch's jobs, each once: in the order of the request, or newest first for a filter."""
    if request.filter is None:
        return list(dict.fromkeys(request.job_ids or ()))
    with within_filter():
        found = job_listing.ids(request.filter, now=now, limit=MOST_JOBS + 1)
    if len(found) > MOST_JOBS:
        raise Invalid(f"More than {MOST_JOBS:,} jobs match; narrow the filter, by time for example.", field="filter")
    return found


def preview(request: BatchRequest, *, now: datetime) -> dict[str, Any]:
    """What the batch would find if it ran now: jobs by status, how many it would take, and why it would refuse others.

    Changes nothing. Raises Invalid.
    """
    request.check()
    job_ids = _job_ids(request, now=now)
    statuses = Counter(jobs.statuses_of(job_ids).values())
    refused = {status: why for status in sorted(statuses) if (why := refusal(request.action, status)) is not None}
    return {
        "dry_run": True,
        "action": request.action,
        "matched": len(job_ids),
        "statuses": dict(sorted(statuses.items())),
        "taken": sum(count for status, count in statuses.items() if status not in refused),
        "refused": [{"message": f"The job {why}", "count": statuses[status]} for status, why in refused.items()],
        "not_found": len(job_ids) - statuses.total(),
    }


def accept(request: BatchRequest, *, actor: Actor, now: datetime, key: str | None = None) -> BatchRecord:
    """Store a batch and send its message; the batch. The same key and instant give the same batch, also after a crash.

    A batch of no jobs is done at once. Raises Invalid.
    """
    request.check()
    batch_id = ulid(now, None if key is None else f"batch|{key}")
    batch = store.find(batch_id)
    if batch is None:
        batch = _store(batch_id, request, actor=actor, now=now)
    _record_audit(batch)
    if batch.status == BatchStatus.RUNNING:
        sqs.send_step(batch_id)
    return batch


def _record_audit(batch: BatchRecord) -> None:
    after = {"action": batch.action, "priority": batch.priority, "filter": batch.filter, "jobs": int(batch.total)}
    actor = actor_of(batch)
    audit.record(actor, "create", "batch", batch.batch_id, before=None, after=after, now=batch.created_at)


def actor_of(batch: BatchRecord) -> Actor:
    """Who asked for the batch, as the audit names them."""
    return Actor(str(batch.actor), str(batch.role), token_id=batch.token_id, subject=batch.subject)


def _store(batch_id: str, request: BatchRequest, *, actor: Actor, now: datetime) -> BatchRecord:
    """Watch the batch, put its parts, then the batch: a batch that exists has all its parts."""
    job_ids = _job_ids(request, now=now)
    expires_at = now + timedelta(days=retention.longest_days())
    if job_ids:
        watches.keep(Watched.BATCH, batch_id, until=now + LEASE)
    for number, part in store.parts_of(job_ids):
        store.put_part(batch_id, number, part, expires_at=expires_at)
    batch = BatchRecord(
        batch_id,
        0,
        action=request.action,
        priority=request.priority,
        filter=None if request.filter_document is None else dict(request.filter_document),
        actor=actor.name,
        role=actor.role,
        token_id=actor.token_id,
        subject=actor.subject,
        created_at=now,
        status=BatchStatus.RUNNING if job_ids else BatchStatus.DONE,
        ended_at=None if job_ids else now,
        total=len(job_ids),
        closed=0,
        counts={},
        expires_at=expires_at,
    )
    return batch if store.insert(batch) else store.get(batch_id)


def cancel(batch_id: str, *, actor: Actor, now: datetime) -> BatchRecord:
    """Ask the worker to leave alone the jobs that it has not tried yet. Raises WrongState for a batch that has ended.

    Cancelling twice is no error; the first request stands.
    """
    batch = store.get(batch_id)
    if not store.request_cancel(batch, by=actor.name, now=now):
        batch = store.get(batch_id)
        if batch.status != BatchStatus.RUNNING:
            raise WrongState(f"Batch {batch_id} has ended: it is {batch.status}.")
    # Of a request that is repeated after a crash, the entry may be missing. One that came second has none.
    if (sortable(batch.cancel_requested_at), batch.cancel_requested_by) == (sortable(now), actor.name):
        audit.record(actor, "cancel", "batch", batch_id, before=None, after={"cancel_requested_at": now}, now=now)
    # If no worker holds the batch, this starts one that ends it, before the sweep would.
    sqs.send_step(batch_id)
    return batch


def resume_if_lapsed(batch_id: str, *, now: datetime) -> bool:
    """Send the message of a running batch again if no worker holds it; whether it was sent. `sweep` calls this.

    Also adjusts or removes the watch that led here.
    """
    batch = store.find(batch_id)
    if batch is None:
        watches.delete(Watched.BATCH, batch_id, before=now)
        return False
    if batch.status != BatchStatus.RUNNING:
        watches.delete(Watched.BATCH, batch_id)
        return False
    if batch.held_until is not None and batch.held_until > now:
        watches.keep(Watched.BATCH, batch_id, until=batch.held_until)
        return False
    watches.keep(Watched.BATCH, batch_id, until=now + LEASE)
    # The process that accepted the batch may have died before the audit entry, or before the message.
    _record_audit(batch)
    sqs.send_step(batch_id)
    return True
