"""The worker: a token arrives, the pool's best job is claimed (`queue/claim.py`), its kind runs, its end is written.

The process may crash at every step. `sweep` then takes up what is left half done when the job's lease expires.
"""

from __future__ import annotations

from datetime import timedelta

from chalicelib import log
from chalicelib.aws import sqs
from chalicelib.errors import RunError
from chalicelib.jobs import batch_worker
from chalicelib.kinds.protocol import JobFacts
from chalicelib.kinds.registry import kind_of
from chalicelib.log import event
from chalicelib.queue import leases
from chalicelib.queue.claim import Worker, claim_next
from chalicelib.queue.past_minutes import PastMinutes
from chalicelib.storage.bucket import s3
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.worker import metering, run_end
from chalicelib.worker.held_lease import HeldLease
from chalicelib.worker.live_run import LiveRun

# Kept back from the worker's own time for writing the run's end.
CLOSING_TIME = timedelta(seconds=15)
# What this process knows of the queues, for all the messages that it handles.
PAST_MINUTES = PastMinutes()


def handle(text: str, *, worker: Worker) -> JobRecord | None:
    """Do the work that a message stands for: the job that ran, None when no job was claimed."""
    token = sqs.parse(text)
    if isinstance(token, sqs.Step):
        batch_worker.step(token.batch_id, holder=worker.name, until=worker.until, clock=worker.clock)
        return None
    with metering.metered(worker.clock.now()) as meter:
        job = claim_next(token, worker=worker)
        if job is not None:
            execute(job, worker=worker, meter=meter)
    return job


def execute(job: JobRecord, *, worker: Worker, meter: metering.Meter | None = None) -> None:
    """Run a claimed job's kind under the watch, and write how the run ended and what it cost."""
    # From here on the log tells of the request or the event that made the job wait.
    log.correlate(job.correlation_id or log.correlation_id())
    metering.watch(s3())
    event(
        "job started",
        job_id=job.job_id,
        task_id=job.task_id,
        run_no=int(job.run_no),
        lateness_seconds=job.lateness_seconds,
    )
    live = LiveRun(
        facts=_facts(job),
        job=job,
        clock=worker.clock,
        lease=HeldLease(job, worker.clock, worker.until),
        worker_until=worker.until - CLOSING_TIME,
        deadline=leases.deadline(job),
    )
    live.log("INFO", f"Attempt {int(job.attempts_spent)} begins on worker {worker.name}.", type="run")
    live.check_clocks()
    if worker.watched:
        live.start_watch()
    try:
        run = _run_kind(live)
        live.end_watch()
        live.begin()
        run_end.record(live, run, meter=meter)
    finally:
        live.close()


def _run_kind(live: LiveRun) -> RunRecord:
    """Run the kind to its end: the ended run, which is not written yet."""
    try:
        live.check()
        outcome = kind_of(live.job.kind).run(live)
    except RunError as error:
        return run_end.stopped_or_failed(live, error)
    # Here any failure of a kind becomes a failed run; nowhere else is every exception caught.
    except Exception as error:
        return run_end.failed_unexpectedly(live, error)
    return run_end.succeeded(live, outcome)


def _facts(job: JobRecord) -> JobFacts:
    return JobFacts(
        job_id=job.job_id,
        run_no=int(job.run_no),
        kind=job.kind,
        task_id=job.task_id,
        task_name=job.task_name,
        spec=job.spec,
        parameters=job.parameters or {},
        scheduled_for=job.scheduled_for,
        window_start=job.window_start,
        window_end=job.window_end,
        timezone=job.timezone,
        source_id=job.source_id,
        statement_timeout_seconds=None if job.statement_timeout_seconds is None else int(job.statement_timeout_seconds),
    )
