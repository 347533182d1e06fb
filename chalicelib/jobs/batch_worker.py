"""The work of a batch: a step takes it, does part after part, and hands on when its Lambda's time is nearly up.

Every call to AWS may be the last of this process. A part is done again as a whole until its outcomes are written; a job
that carries the batch's mark was acted on and is not acted on again (`store/job_conditions.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from chalicelib.access.actor import Actor
from chalicelib.aws import sqs
from chalicelib.clock import Clock
from chalicelib.core.lifecycle import ACTIVE, JobStatus
from chalicelib.errors import CarillonError, JobNotFound, Unavailable, WrongState
from chalicelib.jobs import actions, batches
from chalicelib.jobs.actions import Action, ActionRequest, is_marked
from chalicelib.log import event
from chalicelib.queue import completion
from chalicelib.store import batch_watch, jobs
from chalicelib.store import batches as store
from chalicelib.store.batches import BatchRecord, BatchStatus, Outcome, OutcomeRow
from chalicelib.store.job_record import JobRecord

# Jobs acted on at once.
THREADS = 8
# Kept back from the worker's own time: a part of deletes takes some seconds.
RESERVE = timedelta(seconds=60)
# A job that a service keeps failing must not keep the batch for ever: after so many tries of its part it is told.
TRIES = 5


def step(batch_id: str, *, holder: str, until: datetime, clock: Clock) -> None:
    """Go on with a batch as long as there is time. A message that comes twice finds it held, or ended."""
    batch, now = store.find(batch_id), clock.now()
    if batch is None or not store.acquire(batch, holder=holder, now=now, until=now + batches.LEASE):
        return
    batch_watch.keep(batch_id, until=now + batches.LEASE)
    while batch.closed < batch.parts:
        now = clock.now()
        if now >= until - RESERVE:
            _hand_on(batch)
            return
        part = store.find(batch_id, int(batch.closed) + 1)
        assert part is not None, "parts are put before their batch"
        if batch.cancel_requested_at is not None and part.tries is None:
            break
        if part.outcomes is None and not store.close_part(part, _run_part(batch, part, now=now)):
            part = store.find(batch_id, int(part.part)) or part
        if not _note(batch, part.outcomes, now=now):
            return
    _end(batch, now=clock.now())


def _note(batch: BatchRecord, outcomes: Sequence[OutcomeRow], *, now: datetime) -> bool:
    """Count a part that is closed; False when another worker has the batch."""
    found = dict(batch.counts)
    for told in outcomes:
        found[str(told[0])] = found.get(str(told[0]), 0) + 1
    # Two signs of life within a lease; the watch takes a call of its own.
    renewed = batch.held_until - now < batches.LEASE / 2
    until = now + batches.LEASE if renewed else batch.held_until
    if not store.note_closed(batch, found, until=until):
        return False
    if renewed:
        batch_watch.keep(batch.batch_id, until=until)
    return True


def _hand_on(batch: BatchRecord) -> None:
    """Let go first: the next worker must not find it held. Should the message be lost, the watch has it sent."""
    if store.release(batch):
        sqs.send_step(batch.batch_id)


def _end(batch: BatchRecord, *, now: datetime) -> None:
    left = batches.counts(batch)["pending"]
    found = dict(batch.counts)
    if left:
        found[Outcome.CANCELED] = found.get(Outcome.CANCELED, 0) + left
    untried = found.get(Outcome.CANCELED, 0)
    if store.end(batch, BatchStatus.CANCELED if untried else BatchStatus.DONE, found, now=now):
        event("batch ended", batch_id=batch.batch_id, action=batch.action, status=batch.status, counts=found)
        batch_watch.drop(batch.batch_id)


# --- a part -----------------------------------------------------------------------------------------------------------


def _run_part(batch: BatchRecord, part: BatchRecord, *, now: datetime) -> list[OutcomeRow]:
    """Act on a part's jobs, or find that it was done: what is to be told of each."""
    read = {job.job_id: job for job in jobs.get_many(part.job_ids)}
    store.open_part(part, [_seen(read.get(job_id)) for job_id in part.job_ids])
    trial = PartRun(batch, part, now)
    with ThreadPoolExecutor(THREADS) as pool:
        told = list(pool.map(trial.of, part.job_ids, part.before, [read.get(job_id) for job_id in part.job_ids]))
    _follow_up(trial.asked.action, trial.changed, now=now)
    if trial.failed and part.tries < TRIES:
        job_id, error = trial.failed[0]
        raise Unavailable(f"{len(trial.failed)} jobs of batch {batch.batch_id}, {job_id} first: {error}")
    return told


def _seen(job: JobRecord | None) -> list[Any] | None:
    return None if job is None else [job.status.value, int(job.priority)]


def _follow_up(action: Action, changed: Iterable[JobRecord], *, now: datetime) -> None:
    """What comes after the writes, for all jobs of a part together."""
    if action is Action.CANCEL:
        completion.after_many_ended((job for job in changed if job.status == JobStatus.CANCELED), now=now)
    if action is Action.RERUN:
        waiting = [job for job in changed if job.status == JobStatus.WAITING]
        sqs.send([(sqs.Token(job.pool, job.job_id), now) for job in waiting], now=now)


class PartRun:
    """A part's jobs, each tried on its own."""

    def __init__(self, batch: BatchRecord, part: BatchRecord, now: datetime):
        self.now = now
        self.canceled = batch.cancel_requested_at is not None
        self.asked = ActionRequest(
            actor=Actor(name=str(batch.actor), role=str(batch.role)),
            action=Action(str(batch.action)),
            at=batch.created_at,
            priority=None if batch.priority is None else int(batch.priority),
            mark=batch.batch_id,
            batch_id=batch.batch_id,
        )
        # A job that has come to another end meanwhile is not the one that was to be deleted, or run again.
        chosen = (batch.filter or {}).get("status") if self.asked.action in (Action.RERUN, Action.DELETE) else None
        self.only = frozenset(chosen or JobStatus)
        self.changed: list[JobRecord] = []
        self.failed: list[tuple[str, Exception]] = []

    def of(self, job_id: str, before: list[Any] | None, read: JobRecord | None) -> OutcomeRow:
        try:
            return self._of(job_id, before, read)
        except WrongState as error:
            found = jobs.find(job_id)
            return [Outcome.REFUSED, error.message, None if found is None else found.status]
        except JobNotFound:
            return [Outcome.NOT_FOUND, "It was deleted meanwhile.", None]
        except (CarillonError, ValueError, ClientError, BotoCoreError, PynamoDBException) as error:
            self.failed.append((job_id, error))
            event("job of a batch failed", level="ERROR", job_id=job_id, batch_id=self.asked.batch_id, error=str(error))
            return [
                Outcome.REFUSED,
                "It could not be finished; the log says why.",
                None if read is None else read.status,
            ]

    def _of(self, job_id: str, before: list[Any] | None, read: JobRecord | None) -> OutcomeRow:
        if before is None:
            return [Outcome.NOT_FOUND, "There is no such job.", None]
        deletes = self.asked.action is Action.DELETE
        if read is None:
            # It was there when the part was opened.
            return [Outcome.DONE, None, None] if deletes else [Outcome.NOT_FOUND, "It was deleted meanwhile.", None]
        if not is_marked(read, self.asked.mark):
            if self.canceled:
                return [Outcome.CANCELED, "The batch was cancelled before.", read.status]
            if read.status not in self.only:
                return [Outcome.REFUSED, f"The job is {read.status} now, not as the filter says.", read.status]
        shown = {"status": before[0], "priority": before[1]}
        job = actions.act(job_id, self.asked, now=self.now, read=read, before=shown)
        self.changed.append(job)
        if self.asked.action is Action.CANCEL and job.status in ACTIVE:
            return [Outcome.DONE, "Its worker was asked to stop.", job.status]
        return [Outcome.DONE, None, None if deletes else job.status]
