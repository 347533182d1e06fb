"""Works batches off: a step acquires a batch and runs part after part. When its Lambda's time is nearly up, it releases
the batch and sends a message for the next step.

The process may die at any call to AWS. A part without written outcomes is run again as a whole; a job that carries the
batch's mark was acted on already and is not acted on again (`store/job_conditions.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from chalicelib.aws import sqs
from chalicelib.clock import Clock
from chalicelib.core.lifecycle import ACTIVE, JobStatus
from chalicelib.errors import JobNotFound, Unavailable, WrongState
from chalicelib.jobs import actions, batch_listing, batches
from chalicelib.jobs.actions import Action, ActionRequest, is_marked
from chalicelib.log import event
from chalicelib.queue import completion
from chalicelib.retrying import RECORD_ERRORS
from chalicelib.store import batches as store
from chalicelib.store import jobs, watches
from chalicelib.store.batches import BatchRecord, BatchStatus, Outcome, OutcomeRow, StateBefore
from chalicelib.store.job_record import JobRecord
from chalicelib.store.watches import Watched

# Jobs acted on at once.
THREADS = 8
# After each group of this many jobs the batch shows how far it has come, and a request to cancel it is seen.
GROUP_JOBS = 20
# A step begins no part with less time left than this: a part of deletions takes some seconds.
RESERVE = timedelta(seconds=60)
# How often a part is tried while a service fails one of its jobs. Then that job is refused, and the batch goes on.
TRIES = 5


def step(batch_id: str, *, holder: str, until: datetime, clock: Clock) -> None:
    """Work on a batch until it ends or the time is up. A second copy of the message finds it held, or ended."""
    batch, now = store.find(batch_id), clock.now()
    if batch is None or not store.acquire(batch, holder=holder, now=now, until=now + batches.LEASE):
        return
    watches.keep(Watched.BATCH, batch_id, until=now + batches.LEASE)
    while batch.closed < batch.parts:
        now = clock.now()
        if now >= until - RESERVE:
            _hand_over(batch)
            return
        part = store.find(batch_id, int(batch.closed) + 1)
        assert part is not None, "parts are put before their batch"
        if batch.cancel_requested_at is not None and part.tries is None:
            break
        if part.outcomes is None:
            outcomes = _run_part(batch, part, now=now)
            if outcomes is None:
                return
            if not store.close_part(part, outcomes):
                part = store.find(batch_id, int(part.part)) or part
        rows = part.outcome_rows
        assert rows is not None, "outcomes, once written, stay"
        if not _count_part(batch, rows, now=now):
            return
    _end(batch, now=clock.now())


def _count_part(batch: BatchRecord, rows: Sequence[OutcomeRow], *, now: datetime) -> bool:
    """Add a closed part to the batch's counts and renew its lease; False when another worker holds the batch."""
    found = dict(Counter(batch.counts) + _counts(rows))
    # Renewed only in the second half of the lease: the watch costs a call.
    renewed = batch.held_until - now < batches.LEASE / 2
    until = now + batches.LEASE if renewed else batch.held_until
    if not store.note_closed(batch, found, until=until):
        return False
    if renewed:
        watches.keep(Watched.BATCH, batch.batch_id, until=until)
    return True


def _hand_over(batch: BatchRecord) -> None:
    """Release the batch, then send its message: the next worker must find it free. `sweep` resends a lost message."""
    if store.release(batch):
        sqs.send_step(batch.batch_id)


def _end(batch: BatchRecord, *, now: datetime) -> None:
    """End the batch. Jobs that were not tried count as canceled."""
    left = batch_listing.counts_of_closed_parts(batch)[batch_listing.PENDING]
    found = dict(batch.counts)
    if left:
        found[Outcome.CANCELED] = found.get(Outcome.CANCELED, 0) + left
    untried = found.get(Outcome.CANCELED, 0)
    if store.end(batch, BatchStatus.CANCELED if untried else BatchStatus.DONE, found, now=now):
        event("batch ended", batch_id=batch.batch_id, action=batch.action, status=batch.status, counts=found)
        watches.delete(Watched.BATCH, batch.batch_id)


# --- a part -----------------------------------------------------------------------------------------------------------


def _counts(rows: Iterable[OutcomeRow]) -> Counter[str]:
    return Counter(str(row.outcome) for row in rows)


def _run_part(batch: BatchRecord, part: BatchRecord, *, now: datetime) -> list[OutcomeRow] | None:
    """Act on each job of a part; the outcomes, or None when another worker holds the batch.

    Jobs that are still to come when the batch is cancelled are left alone. Raises Unavailable while a service fails a
    job, up to TRIES times.
    """
    readable, unreadable = jobs.get_readable(part.job_ids)
    found = {job.job_id: job for job in readable}
    records = [found.get(job_id) for job_id in part.job_ids]
    store.open_part(part, [_state_before(job) for job in records])
    run = PartRun(batch, now, frozenset(unreadable))
    work = list(zip(part.job_ids, part.states_before, records, strict=True))
    rows: list[OutcomeRow] = []
    held = True
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(work), GROUP_JOBS):
            held = store.note_progress(batch, dict(_counts(rows)))
            if not held:
                break
            rows += pool.map(run.outcome_of, *zip(*work[start : start + GROUP_JOBS], strict=True))
    try:
        _follow_up(run.request.action, run.changed, now=now)
    except RECORD_ERRORS as problem:
        # Counted like a job that failed: the part is tried again, but not for ever. `sweep` sends missing tokens.
        event("part of a batch not followed up", level="ERROR", batch_id=batch.batch_id, error=str(problem))
        run.failed.append((part.job_ids[0], problem))
    if not held:
        return None
    if run.failed and part.tries < TRIES:
        job_id, error = run.failed[0]
        raise Unavailable(f"{len(run.failed)} jobs of batch {batch.batch_id}, {job_id} first: {error}")
    return rows


def _state_before(job: JobRecord | None) -> StateBefore | None:
    return None if job is None else StateBefore(job.status.value, int(job.priority))


def _follow_up(action: Action, changed: Iterable[JobRecord], *, now: datetime) -> None:
    """Do what follows from the writes, once for all jobs of a part: update their tasks, or send their tokens."""
    if action is Action.CANCEL:
        completion.after_many_ended((job for job in changed if job.status == JobStatus.CANCELED), now=now)
    if action is Action.RERUN:
        waiting = [job for job in changed if job.status == JobStatus.WAITING]
        sqs.send([(sqs.Token(job.pool, job.job_id), now) for job in waiting], now=now)


class PartRun:
    """One try of a part: acts on each job by itself, collects the changed jobs and the errors."""

    def __init__(self, batch: BatchRecord, now: datetime, unreadable: frozenset[str]):
        self.now = now
        self.unreadable = unreadable
        self.batch = batch
        self.request = ActionRequest(
            actor=batches.actor_of(batch),
            action=Action(str(batch.action)),
            requested_at=batch.created_at,
            priority=None if batch.priority is None else int(batch.priority),
            mark=batch.batch_id,
            batch_id=batch.batch_id,
        )
        # Re-run and delete take only jobs that still have a status of the filter: a job that was run again since, and
        # came to another end, is not the one that was chosen.
        filtered = (batch.filter or {}).get("status") if self.request.action in (Action.RERUN, Action.DELETE) else None
        self.statuses = frozenset(filtered or JobStatus)
        self.changed: list[JobRecord] = []
        self.failed: list[tuple[str, Exception]] = []

    def outcome_of(self, job_id: str, before: StateBefore | None, job: JobRecord | None) -> OutcomeRow:
        """Act on a job; every error becomes an outcome. `job` is its record as just read, None when there is none."""
        try:
            return self._act(job_id, before, job)
        except WrongState as error:
            found = jobs.find(job_id)
            return OutcomeRow(Outcome.REFUSED, error.message, None if found is None else found.status)
        except JobNotFound:
            return OutcomeRow(Outcome.NOT_FOUND, "It was deleted meanwhile.", None)
        except RECORD_ERRORS as error:
            self.failed.append((job_id, error))
            batch_id = self.request.batch_id
            event("job of a batch failed", level="ERROR", job_id=job_id, batch_id=batch_id, error=str(error))
            message = "It could not be finished; the log says why."
            return OutcomeRow(Outcome.REFUSED, message, None if job is None else job.status)

    def _act(self, job_id: str, before: StateBefore | None, job: JobRecord | None) -> OutcomeRow:
        if job_id in self.unreadable:
            return OutcomeRow(Outcome.REFUSED, "Its record cannot be read.", None)
        if before is None:
            return OutcomeRow(Outcome.NOT_FOUND, "There is no such job.", None)
        deletes = self.request.action is Action.DELETE
        if job is None:
            # It was there when the part was opened. A deletion that an earlier try completed is done.
            if deletes:
                return OutcomeRow(Outcome.DONE, None, None)
            return OutcomeRow(Outcome.NOT_FOUND, "It was deleted meanwhile.", None)
        if not is_marked(job, self.request.mark):
            if self.batch.cancel_requested_at is not None:
                return OutcomeRow(Outcome.CANCELED, "The batch was cancelled before.", job.status)
            if job.status not in self.statuses:
                return OutcomeRow(Outcome.REFUSED, f"The job is {job.status} now, not as the filter says.", job.status)
        job = actions.act(job_id, self.request, now=self.now, job=job, before=before._asdict())
        self.changed.append(job)
        if self.request.action is Action.CANCEL and job.status in ACTIVE:
            return OutcomeRow(Outcome.DONE, "Its worker was asked to stop.", job.status)
        return OutcomeRow(Outcome.DONE, None, None if deletes else job.status)
