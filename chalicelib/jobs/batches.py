"""Batches: one action on up to 10,000 jobs, an outcome for each. `jobs/batch_worker.py` does the work, step by step.

accept: watch ──> freeze the jobs, in parts ──> the batch ──> audit ──> its message
          └ whatever dies from here on, `sweep` finds the batch and sends the message again
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from chalicelib import retention
from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.aws import sqs
from chalicelib.core.ids import ulid
from chalicelib.core.instants import utc
from chalicelib.errors import FieldProblem, Invalid, WrongState
from chalicelib.jobs import listing as job_listing
from chalicelib.jobs.actions import ACCEPTS, Action, refusal
from chalicelib.paging import TOTAL_LIMIT, Page, check
from chalicelib.store import batch_watch, jobs
from chalicelib.store import batches as store
from chalicelib.store.batches import BatchRecord, BatchStatus, Outcome, OutcomeRow
from chalicelib.store.job_list_plan import JobFilter

# So many ids fit a request, and so many jobs are frozen well within the time of one.
MOST_JOBS = 10_000
# How long a step may be believed on its way, or at work since its last sign of life.
LEASE = timedelta(seconds=120)


@dataclass(frozen=True)
class BatchRequest:
    """What a batch is to do, and to which jobs: those of the ids, or those that match the filter."""

    action: Action
    job_ids: Sequence[str] | None = None
    filter: JobFilter | None = None
    # The filter as the caller wrote it, a JSON object: what the batch's record and its audit show.
    filter_document: Mapping[str, Any] | None = None
    priority: int | None = None

    def check(self) -> None:
        if (self.job_ids is None) == (self.filter is None):
            raise Invalid("Give job_ids or filter, one of the two.", field="job_ids")
        if self.filter is not None and not self._narrows():
            message = 'Name what the jobs have in common; {"created": "all"} is every job.'
            raise Invalid(message, field="filter")
        if (self.action is Action.SET_PRIORITY) != (self.priority is not None):
            raise Invalid("priority belongs to set_priority, which needs it.", field="priority")

    def _narrows(self) -> bool:
        """Whether the filter names anything: a zone, an empty list or null lets every job through."""
        given = (self.filter_document or {}).items()
        return any(value not in (None, []) for name, value in given if name != "timezone")


@contextmanager
def within_filter() -> Iterator[None]:
    """What is wrong with a field of the filter is wrong with `filter.<field>` of the request."""
    try:
        yield
    except Invalid as error:
        problems = [FieldProblem(f"filter.{each.field}", each.message) for each in error.problems]
        raise Invalid(error.message, problems=problems) from error


def _chosen(wish: BatchRequest, *, now: datetime) -> list[str]:
    """The ids, each once, in the order of the request or of the list."""
    if wish.filter is None:
        return list(dict.fromkeys(wish.job_ids or ()))
    with within_filter():
        found = job_listing.ids(wish.filter, now=now, limit=MOST_JOBS + 1)
    if len(found) > MOST_JOBS:
        raise Invalid(f"More than {MOST_JOBS:,} jobs match; narrow the filter, by time for example.", field="filter")
    return found


# --- before -----------------------------------------------------------------------------------------------------------


def preview(wish: BatchRequest, *, now: datetime) -> dict[str, Any]:
    """What the batch would meet now: how many jobs of which status, and why which would be refused."""
    wish.check()
    chosen = _chosen(wish, now=now)
    statuses = Counter(jobs.statuses_of(chosen).values())
    taken, _ = ACCEPTS[wish.action]
    return {
        "dry_run": True,
        "action": wish.action,
        "matched": len(chosen),
        "statuses": dict(sorted(statuses.items())),
        "taken": sum(count for status, count in statuses.items() if status in taken),
        "refused": [
            {"message": f"The job {why}", "count": count}
            for status, count in sorted(statuses.items())
            if (why := refusal(wish.action, status)) is not None
        ],
        "not_found": len(chosen) - statuses.total(),
    }


def accept(wish: BatchRequest, *, actor: Actor, now: datetime, key: str | None = None) -> BatchRecord:
    """Begin a batch. The same key and instant give the same batch, whatever crashes."""
    wish.check()
    batch_id = ulid(now, None if key is None else f"batch|{key}")
    batch = store.find(batch_id)
    if batch is None:
        batch = _freeze(batch_id, wish, actor=actor, now=now)
    _record_audit(batch)
    if batch.status == BatchStatus.RUNNING:
        sqs.send_step(batch_id)
    return batch


def _record_audit(batch: BatchRecord) -> None:
    shown = {"action": batch.action, "priority": batch.priority, "filter": batch.filter, "jobs": int(batch.total)}
    actor = Actor(str(batch.actor), str(batch.role))
    audit.record(actor, "create", "batch", batch.batch_id, before=None, after=shown, now=batch.created_at)


def _freeze(batch_id: str, wish: BatchRequest, *, actor: Actor, now: datetime) -> BatchRecord:
    chosen = _chosen(wish, now=now)
    expires_at = now + timedelta(days=retention.longest_days())
    if chosen:
        batch_watch.keep(batch_id, until=now + LEASE)
    for number, job_ids in store.parts_of(chosen):
        store.put_part(batch_id, number, job_ids, expires_at=expires_at)
    batch = BatchRecord(
        batch_id,
        0,
        action=wish.action,
        priority=wish.priority,
        filter=None if wish.filter_document is None else dict(wish.filter_document),
        actor=actor.name,
        role=actor.role,
        created_at=now,
        status=BatchStatus.RUNNING if chosen else BatchStatus.DONE,
        ended_at=None if chosen else now,
        total=len(chosen),
        closed=0,
        counts={},
        expires_at=expires_at,
    )
    return batch if store.insert(batch) else store.get(batch_id)


# --- while it runs, and after -----------------------------------------------------------------------------------------


def get(batch_id: str) -> BatchRecord:
    return store.get(batch_id)


def cancel(batch_id: str, *, actor: Actor, now: datetime) -> BatchRecord:
    """Leave the jobs alone that were not tried yet. Asking twice is no error; a batch that has ended is one."""
    batch = store.get(batch_id)
    if not store.request_cancel(batch, by=actor.name, now=now):
        raise WrongState(f"Batch {batch_id} has ended: it is {store.get(batch_id).status}.")
    audit.record(actor, "cancel", "batch", batch_id, before=None, after={"cancel_requested_at": now}, now=now)
    # Should no worker be at it, nobody has to wait for the sweep.
    sqs.send_step(batch_id)
    return batch


def resume_if_lapsed(batch_id: str, *, now: datetime) -> bool:
    """Send the message of a batch again whose worker gave no sign of life; whether it was sent."""
    batch = store.find(batch_id)
    if batch is None:
        batch_watch.drop(batch_id, before=now)
        return False
    if batch.status != BatchStatus.RUNNING:
        batch_watch.drop(batch_id)
        return False
    if batch.held_until is not None and batch.held_until > now:
        batch_watch.keep(batch_id, until=batch.held_until)
        return False
    batch_watch.keep(batch_id, until=now + LEASE)
    # Whoever accepted it may have died before either.
    _record_audit(batch)
    sqs.send_step(batch_id)
    return True


def counts(batch: BatchRecord) -> dict[str, int]:
    """How many jobs came to which outcome; `pending` are to be tried yet."""
    known = dict(batch.counts or {})
    found = {outcome.value: int(known.get(outcome, 0)) for outcome in Outcome}
    return found | {"pending": int(batch.total) - sum(found.values())}


def outcomes(batch: BatchRecord, *, outcome: str | None, page: int, page_size: int) -> Page:
    """What became of the jobs, in the order they were chosen in; `outcome`: of those that came to it alone."""
    check(page, page_size)
    start = (page - 1) * page_size
    if outcome is not None:
        named = (
            (job_id, told)
            for part in _parts(batch)
            for job_id, told in _outcome_rows(batch, part)
            if told[0] == outcome
        )
        rows = list(islice(named, start, start + page_size))
        return Page([_shown(*row) for row in rows], page, page_size, counts(batch)[outcome])
    number, skip = start // store.PART_JOBS + 1, start % store.PART_JOBS
    part = store.find(batch.batch_id, number) if number <= batch.parts else None
    rows = [] if part is None else list(_outcome_rows(batch, part))[skip : skip + page_size]
    return Page([_shown(*row) for row in rows], page, page_size, int(batch.total))


def _parts(batch: BatchRecord) -> Iterator[BatchRecord]:
    # An acceptance that died may have left parts beyond.
    return islice(store.parts(batch.batch_id), batch.parts)


def _outcome_rows(batch: BatchRecord, part: BatchRecord) -> Iterator[tuple[str, OutcomeRow]]:
    untried: OutcomeRow = ["pending", None, None]
    if batch.status == BatchStatus.CANCELED:
        untried = [Outcome.CANCELED, "The batch was cancelled before.", None]
    return zip(part.job_ids, part.outcomes or [untried] * len(part.job_ids), strict=True)


def _shown(job_id: str, told: OutcomeRow) -> dict[str, str | None]:
    return {"job_id": job_id, "outcome": told[0], "message": told[1], "status": told[2]}


def listing(*, page: int, page_size: int, now: datetime) -> Page:
    """Batches newest first, as far back as they are kept."""
    check(page, page_size)
    ids = store.newest_first(_months(now))
    start = (page - 1) * page_size
    skipped = sum(1 for _ in islice(ids, start))
    shown = list(islice(ids, page_size))
    total = skipped + len(shown) + sum(1 for _ in islice(ids, max(0, TOTAL_LIMIT - start - len(shown)) + 1))
    rows = store.get_many(shown) if shown else []
    return Page(rows, page, page_size, min(total, TOTAL_LIMIT), total_is_lower_bound=total > TOTAL_LIMIT)


def _months(now: datetime) -> Iterator[str]:
    first = utc(now).replace(day=1)
    for _ in range(retention.longest_days() // 28 + 2):
        yield first.strftime("%Y-%m")
        first = (first - timedelta(days=1)).replace(day=1)
