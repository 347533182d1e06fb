"""Repair, every minute: `sweep` finds the jobs whose lease expired and sends their token again, or ends them.

Every job that has not ended stands in the `leases` index, with the instant until which its token, or its worker, may be
believed alive. Past that, a waiting job's token is lost, or one of its clocks ran out; an active job's worker is gone.
Among them stand the entries of rules, batches and walks that are due (`store/watches.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from chalicelib.core.lifecycle import ACTIVE, RUN_ENDED, Reason, RunStatus, cancel_reason
from chalicelib.core.queue_keys import limit_of_key
from chalicelib.errors import FiringIncomplete
from chalicelib.jobs import batches as job_batches
from chalicelib.jobs import deletion
from chalicelib.log import event
from chalicelib.logs import archive as log_archive
from chalicelib.maintenance import integrity
from chalicelib.queue import admission, completion, concurrency, leases, unclaimable
from chalicelib.retrying import RECORD_ERRORS
from chalicelib.settings import settings
from chalicelib.storage.bucket import s3
from chalicelib.storage.layout import discard_run
from chalicelib.store import job_updates, jobs, pools, runs, watches
from chalicelib.store.job_record import LEASE_SHARDS, JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.store.watches import Watched
from chalicelib.tasks import rule_drift

# Entries of the index that one sweep takes up, the longest expired first; the next sweep goes on with the rest.
ENTRIES_PER_SWEEP = 2_000
RESERVE_SECONDS = 10.0
# Rules compared in one sweep: 300, which is all that an event bus holds by default, have their turn in ten minutes.
RULES_PER_SWEEP = 50


@dataclass
class SweepResult:
    """How many of each one sweep found."""

    # Entries taken up, of jobs and of all else.
    entries: int = 0
    # Tokens sent again.
    tokens: int = 0
    # Runs ended because their worker was lost.
    lost: int = 0
    # Jobs brought to where their ended run leads.
    completed: int = 0
    rules: int = 0
    # Batches whose message was sent again.
    batches: int = 0
    # Broken invariants made true again.
    repaired: int = 0
    failed: int = 0


def sweep(*, now: datetime, time_left: Callable[[], float] = lambda: float("inf")) -> SweepResult:
    """Repair what stands behind every expired entry. Raises FiringIncomplete at the end when one repair failed."""
    result = SweepResult()
    with _contained("walks", result):
        integrity.begin(now=now)
    for number in range(LEASE_SHARDS):
        # Each shard is the first in its minute, so none is forgotten where more expires than one sweep can take up.
        shard = (number + now.minute) % LEASE_SHARDS
        with _contained(f"shard {shard}", result):
            for entry_id in jobs.lapsed_ids(shard, now=now):
                if result.entries >= ENTRIES_PER_SWEEP or time_left() < RESERVE_SECONDS:
                    break
                result.entries += 1
                with _contained(entry_id, result):
                    _take_up(entry_id, result, now=now)
    if result.entries:
        event("sweep", **vars(result))
    if result.failed:
        raise FiringIncomplete(f"{result.failed} repairs failed; the log names them.")
    return result


@contextmanager
def _contained(entry_id: str, result: SweepResult) -> Iterator[None]:
    """What fails must not keep the sweep from what is behind it: it is counted, and the next sweep comes back to it."""
    try:
        yield
    except RECORD_ERRORS as error:
        result.failed += 1
        event("repair failed", level="ERROR", job_id=entry_id, error=str(error))


def _take_up(entry_id: str, result: SweepResult, *, now: datetime) -> None:
    watched = watches.subject_of(entry_id)
    if watched is None:
        _repair_job(entry_id, result, now=now)
    else:
        kind, subject = watched
        WATCHERS[kind](subject, result, now)


# --- watched besides jobs ---------------------------------------------------------------------------------------------


def _maintain_rule(task_id: str, result: SweepResult, now: datetime) -> None:
    if result.rules < RULES_PER_SWEEP:
        result.rules += 1
        rule_drift.maintain(task_id, now=now)


def _resume_batch(batch_id: str, result: SweepResult, now: datetime) -> None:
    result.batches += job_batches.resume_if_lapsed(batch_id, now=now)


def _take_turn(walk: str, result: SweepResult, now: datetime) -> None:
    turn = integrity.take_turn(walk, now=now)
    result.repaired += turn.repaired
    result.failed += turn.beyond_repair + turn.failed


# What is done about an entry that is due, given the id of its subject.
WATCHERS: Mapping[Watched, Callable[[str, SweepResult, datetime], None]] = {
    Watched.RULE: _maintain_rule,
    Watched.BATCH: _resume_batch,
    Watched.PATROL: _take_turn,
}


# --- jobs -------------------------------------------------------------------------------------------------------------


def _repair_job(job_id: str, result: SweepResult, *, now: datetime) -> None:
    try:
        job = jobs.find(job_id)
    except jobs.UNREADABLE as error:
        if unclaimable.note_unreadable(job_id, error, now=now):
            return
        raise
    # The index may lag behind the job.
    if job is None or job.lease_until is None or job.lease_until >= now:
        return
    if job.deleted_at is not None:
        deletion.complete(job)
    elif job.status in ACTIVE:
        _repair_active(job, result, now=now)
    else:
        try:
            _repair_waiting(job, result, now=now)
        except RECORD_ERRORS as error:
            unclaimable.note_failure(job_id, error, now=now)


def _repair_waiting(job: JobRecord, result: SweepResult, *, now: datetime) -> None:
    """Send the token of a waiting job whose token was lost, or was not to be sent yet."""
    verdict = admission.admit(job, now=now)
    if verdict in (admission.Admission.ENDED, admission.Admission.BUFFERED):
        return
    times = int(job.tokens_sent) + 1
    limit = limit_of_key(job.ready_pool)
    if limit is not None or pools.state(job.pool).paused:
        # No token: a worker could claim nothing with it. The job's clocks run on, so `sweep` takes it up again.
        if limit is not None:
            concurrency.repair(limit, now=now)
        elif verdict is admission.Admission.ADMITTED and not job_updates.make_ready(job):
            return
        promised = leases.token_lease(job.not_before, now=now, tokens_sent=times, longest=leases.LONGEST_PARKED)
        job_updates.token_sent_again(job, lease_until=leases.lease_until(job, promised))
        return
    promised = leases.lease_until(job, leases.token_lease(job.not_before, now=now, tokens_sent=times))
    if verdict is admission.Admission.ADMITTED and not job_updates.make_ready(job):
        return
    leases.send_token(job, now=now)
    if job_updates.token_sent_again(job, lease_until=promised):
        result.tokens += 1
        event("token sent again", job_id=job.job_id, pool=job.pool, times=int(job.tokens_sent))


def _repair_active(job: JobRecord, result: SweepResult, *, now: datetime) -> None:
    """End the run of a worker that is gone, unless it wrote an end itself, and have the job follow its run."""
    run = runs.find(job.job_id, int(job.run_no))
    if run is None or run.status not in RUN_ENDED:
        # What the run left in the bucket goes first: once the run has an end, no repair comes back to it.
        discard_run(s3(), settings().bucket, job.kind, job.job_id, int(job.run_no))
        lost = _lost(job, now=now)
        level = "ERROR" if lost.reason == Reason.WORKER_LOST else "WARN"
        log_archive.close_log(job, int(job.run_no), level=level, message=str(lost.error), type="sweep", now=now)
        if not runs.end(lost):
            # The worker ended it in this moment, and may have archived more lines than this sweep has read.
            log_archive.write_from_table(job, int(job.run_no))
            return
        run = lost
        result.lost += 1
        event("worker lost", level="WARN", job_id=job.job_id, run_no=int(job.run_no), worker=job.worker)
    result.completed += 1
    completion.complete(job, run, now=now)


def _lost(job: JobRecord, *, now: datetime) -> RunRecord:
    run = RunRecord(
        job.job_id,
        int(job.run_no),
        worker=job.worker,
        fence=str(job.fence),
        created_at=now,
        ended_at=now,
        permanent=0,
    )
    end = leases.deadline(job)
    if job.cancel_requested_at is not None:
        run.status, run.reason = RunStatus.CANCELED, cancel_reason(job.cancel_requested_by, job.cancel_by_policy)
        # No `stopped_at`: nothing here has seen the work end.
        run.error = (
            "The worker did not answer the cancel, and its lease has run out. When its work stopped is not known: a "
            "statement may still run at its source."
        )
    elif end is not None and end <= now:
        run.status, run.reason = RunStatus.CANCELED, Reason.DEADLINE
        run.error = f"The deadline of {job.deadline_seconds} s passed, and the worker is gone."
    else:
        run.status, run.reason = RunStatus.FAILED, Reason.WORKER_LOST
        run.error = "The worker was lost: its lease ran out before it wrote an end."
    return run
