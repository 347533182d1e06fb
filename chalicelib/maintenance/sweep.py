"""Repair, every minute: what nobody can be believed to look after any more is taken up again, or ended with its reason.

Every job not ended stands in the `leases` index with the instant until which somebody looks after it. Past that, a
waiting job's token is lost, or one of its clocks ran out; an active job's worker is gone. Between them stand the rules
that are to be looked at (`store/rule_watch.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import ClientError
from pynamodb.exceptions import PynamoDBException

from chalicelib.core.lifecycle import ACTIVE, RUN_ENDED, Reason, RunStatus, cancel_reason
from chalicelib.core.queue_keys import limit_of_key
from chalicelib.errors import CarillonError, FiringIncomplete
from chalicelib.jobs import batches as job_batches
from chalicelib.jobs import deletion
from chalicelib.log import event
from chalicelib.logs import archive as log_archive
from chalicelib.maintenance import integrity
from chalicelib.queue import admission, completion, concurrency, leases
from chalicelib.settings import settings
from chalicelib.storage.bucket import s3
from chalicelib.storage.layout import discard_run
from chalicelib.store import batch_watch, job_updates, jobs, patrols, pools, rule_watch, runs
from chalicelib.store.job_record import LEASE_SHARDS, JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.tasks import rule_drift

# Jobs looked at in one sweep; the rest have waited the longest next time.
JOBS_PER_SWEEP = 2_000
RESERVE_SECONDS = 10.0
# Rules looked at in one sweep: 300, which is all that an event bus holds by default, have their turn in ten minutes.
RULES_PER_SWEEP = 50


@dataclass
class Swept:
    """What one sweep found."""

    looked_at: int = 0
    tokens: int = 0
    lost: int = 0
    settled: int = 0
    rules: int = 0
    batches: int = 0
    mended: int = 0
    failed: int = 0


def sweep(*, now: datetime, time_left: Callable[[], float] = lambda: float("inf")) -> Swept:
    """Look after every job whose lease ran out. Raises FiringIncomplete at the end when one could not be."""
    swept = Swept()
    integrity.begin(now=now)
    for number in range(LEASE_SHARDS):
        # Each is the first in its minute: where more lapse than one sweep can look at, none is forgotten.
        for job_id in jobs.lapsed_ids((number + now.minute) % LEASE_SHARDS, now=now):
            if swept.looked_at >= JOBS_PER_SWEEP or time_left() < RESERVE_SECONDS:
                break
            swept.looked_at += 1
            _repair_safely(job_id, swept, now=now)
    if swept.looked_at:
        event("sweep", **vars(swept))
    if swept.failed:
        raise FiringIncomplete(f"{swept.failed} jobs could not be looked after; the log names them.")
    return swept


def _repair_safely(job_id: str, swept: Swept, *, now: datetime) -> None:
    """One job that cannot be repaired must not keep the sweep from those behind it."""
    try:
        ruled = rule_watch.task_of(job_id)
        if ruled is not None:
            _rule(ruled, swept, now=now)
            return
        walk = patrols.walk_of(job_id)
        if walk is not None:
            patrolled = integrity.turn(walk, now=now)
            swept.mended += patrolled.mended
            swept.failed += patrolled.beyond_repair
            return
        batch_id = batch_watch.batch_of(job_id)
        if batch_id is not None:
            swept.batches += job_batches.resume_if_lapsed(batch_id, now=now)
            return
        job = jobs.find(job_id)
        # The index may lag behind the job.
        if job is None or job.lease_until is None or job.lease_until >= now:
            return
        if job.deleted_at is not None:
            deletion.complete(job)
            return
        if job.status in ACTIVE:
            _active(job, swept, now=now)
        else:
            _waiting(job, swept, now=now)
    except (ValueError, CarillonError, ClientError, PynamoDBException) as error:
        swept.failed += 1
        event("job cannot be looked after", level="ERROR", job_id=job_id, error=str(error))


def _rule(task_id: str, swept: Swept, *, now: datetime) -> None:
    if swept.rules < RULES_PER_SWEEP:
        swept.rules += 1
        rule_drift.maintain(task_id, now=now)


def _waiting(job: JobRecord, swept: Swept, *, now: datetime) -> None:
    """A token that was lost, or that was not to be sent yet."""
    verdict = admission.admit(job, now=now)
    if verdict in (admission.Admission.ENDED, admission.Admission.BUFFERED):
        return
    times = int(job.tokens_sent) + 1
    limit = limit_of_key(job.ready_pool)
    if limit is not None or pools.state(job.pool).paused:
        # No token: it would be spent on nothing. The clocks run on, and it is asked again.
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
        swept.tokens += 1
        event("token sent again", job_id=job.job_id, pool=job.pool, times=int(job.tokens_sent))


def _active(job: JobRecord, swept: Swept, *, now: datetime) -> None:
    """A worker that is gone: its run gets an end, unless it wrote one itself, and the job follows."""
    run = runs.find(job.job_id, int(job.run_no))
    if run is None or run.status not in RUN_ENDED:
        # What the run left in the bucket goes first: once the run has an end, nobody looks at it again.
        discard_run(s3(), settings().bucket, job.kind, job.job_id, int(job.run_no))
        lost = _lost(job, now=now)
        level = "ERROR" if lost.reason == Reason.WORKER_LOST else "WARN"
        log_archive.close_log(job, int(job.run_no), level=level, message=str(lost.error), type="sweep", now=now)
        if not runs.end(lost):
            # Somebody ended it in this moment, and may have archived more than was there to read before.
            log_archive.write_from_table(job, int(job.run_no))
            return
        run = lost
        swept.lost += 1
        event("worker lost", level="WARN", job_id=job.job_id, run_no=int(job.run_no), worker=job.worker)
    swept.settled += 1
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
        run.status, run.reason, run.stopped_at = RunStatus.CANCELED, cancel_reason(job.cancel_requested_by), now
        run.error = "The worker did not answer the cancel; its lease has run out."
    elif end is not None and end <= now:
        run.status, run.reason = RunStatus.CANCELED, Reason.DEADLINE
        run.error = f"The deadline of {job.deadline_seconds} s passed, and the worker is gone."
    else:
        run.status, run.reason = RunStatus.FAILED, Reason.WORKER_LOST
        run.error = "The worker was lost: its lease ran out before it wrote an end."
    return run
