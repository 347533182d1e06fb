"""The worker: a token arrives, the pool's best job is claimed (`queue/claim.py`), its kind runs, its end is written.

Every step may be the last one of this process. What it leaves half done is picked up by `sweep` when the lease ends.
"""

from __future__ import annotations

from datetime import timedelta

from chalicelib import retention
from chalicelib.aws import sqs
from chalicelib.core.lifecycle import Reason, RunStatus
from chalicelib.errors import RunError, StatementTimedOut, Stopped
from chalicelib.jobs import batch_worker, deletion
from chalicelib.kinds.protocol import JobFacts, Outcome
from chalicelib.kinds.registry import kind_of
from chalicelib.log import event
from chalicelib.queue import completion, leases
from chalicelib.queue.claim import Worker, claim_next
from chalicelib.settings import settings
from chalicelib.storage.bucket import s3
from chalicelib.storage.layout import discard_run
from chalicelib.store import job_transitions, jobs, runs
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.worker import metering
from chalicelib.worker.live_run import LiveRun

# Kept back from the worker's own time for writing the end.
CLOSING_TIME = timedelta(seconds=15)
# Characters. A database may quote a whole value in its error, which no record and no list could hold.
ERROR_LIMIT = 4_000


def handle(text: str, *, worker: Worker) -> JobRecord | None:
    """Do the work that a message stands for; None when there was no job to it."""
    token = sqs.parse(text)
    if isinstance(token, sqs.Step):
        batch_worker.step(token.batch_id, holder=worker.name, until=worker.until, clock=worker.clock)
        return None
    with metering.metered(worker.clock.now()) as meter:
        job = claim_next(token, worker=worker)
        if job is not None:
            execute(job, worker=worker, meter=meter)
    return job


# --- executing --------------------------------------------------------------------------------------------------------


def execute(job: JobRecord, *, worker: Worker, meter: metering.Meter | None = None) -> None:
    """Run a claimed job's kind and write how it ended, with what it cost by the meter."""
    clock = worker.clock
    metering.watch(s3())
    now = clock.now()
    if not (
        job_transitions.start(job, now=now) and runs.start(job.job_id, int(job.run_no), fence=str(job.fence), at=now)
    ):
        return
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
        clock=clock,
        worker_until=worker.until - CLOSING_TIME,
        deadline=leases.deadline(job),
    )
    live.log("INFO", f"Attempt {int(job.attempts_spent)} begins on worker {worker.name}.", type="run")
    live.check_for_stop()
    if worker.watched:
        live.start_watch()
    ended = _run_kind(job, live)
    live.end_watch()
    end_run(job, live, ended, meter=meter)


def _run_kind(job: JobRecord, live: LiveRun) -> RunRecord:
    """The run's end as it is to be written, whatever the kind did."""
    try:
        live.check()
        outcome = kind_of(job.kind).run(live)
    except RunError as error:
        return _failed(job, live, error)
    # Here any failure of a kind becomes a failed run; nowhere else is every exception caught.
    except Exception as error:
        live.log("ERROR", f"Unexpected {type(error).__name__}: {error}")
        event("kind failed unexpectedly", level="ERROR", job_id=job.job_id, error_type=type(error).__name__)
        return _ended_run(
            job, live, RunStatus.FAILED, Reason.UNKNOWN_ERROR, f"{type(error).__name__}: {error}", permanent=False
        )
    return _succeeded(job, live, outcome)


def _succeeded(job: JobRecord, live: LiveRun, outcome: Outcome) -> RunRecord:
    live.log("INFO", outcome.summary or "Done.")
    run = _ended_run(job, live, RunStatus.SUCCEEDED, None, None)
    run.rows, run.bytes, run.summary, run.files = outcome.rows, outcome.bytes, outcome.summary, outcome.files
    return run


def _failed(job: JobRecord, live: LiveRun, error: RunError) -> RunRecord:
    stop = live.stop
    if stop is not None and stop.final:
        live.log("WARN", f"Stopped: {stop.message}")
        return _ended_run(job, live, RunStatus.CANCELED, stop.reason, stop.message)
    if isinstance(error, Stopped) and stop is not None:
        live.log("ERROR", stop.message)
        return _ended_run(job, live, RunStatus.FAILED, stop.reason, stop.message, permanent=True)
    live.log("ERROR", error.message)
    reason = (
        Reason.STATEMENT if isinstance(error, StatementTimedOut) else Reason(getattr(error, "reason", Reason.ERROR))
    )
    return _ended_run(job, live, RunStatus.FAILED, reason, error.message, permanent=error.permanent)


def _ended_run(
    job: JobRecord,
    live: LiveRun,
    status: RunStatus,
    reason: Reason | None,
    error: str | None,
    *,
    permanent: bool = False,
) -> RunRecord:
    return RunRecord(
        job.job_id,
        int(job.run_no),
        status=status,
        reason=reason,
        error=None if error is None else _storable(error),
        permanent=int(permanent),
        worker=job.worker,
        fence=str(job.fence),
        created_at=live.clock.now(),
        ended_at=live.clock.now(),
        stopped_at=live.stopped_at,
    )


def _storable(error: str) -> str:
    """Cut where it is too long; text that cannot be UTF-8 (half a surrogate pair) must not keep a run from its end."""
    cut = error if len(error) <= ERROR_LIMIT else error[:ERROR_LIMIT] + " …"
    return cut.encode("utf-8", "replace").decode()


def end_run(job: JobRecord, live: LiveRun, run: RunRecord, *, meter: metering.Meter | None = None) -> None:
    """Write the run's end, then the job's. Whatever a run without success put into the bucket goes first, and its log
    is archived: a run that has ended has no loose ends.
    """
    if run.status != RunStatus.SUCCEEDED:
        discard_run(s3(), settings().bucket, job.kind, job.job_id, int(job.run_no))
    live.lines.archive()
    now = live.clock.now()
    if run.status == RunStatus.SUCCEEDED:
        # The job ends with it.
        run.expires_at = retention.expires_at(job.kind, now)
    if meter is not None:
        run.cost = meter.result(kind=job.kind, now=now, stored_bytes=int(run.bytes or 0))
    if runs.end(run, made=True):
        completion.complete(job, run, now=now)
        return
    found = jobs.find(job.job_id)
    if found is None or found.deleted_at is not None:
        # Whoever deletes it may be past what was just written.
        deletion.remove_files_logs_and_runs(job)
        event("late result of a deleted job removed", level="WARN", job_id=job.job_id, run_no=int(job.run_no))
        return
    live.log("WARN", f"A result ({run.status}) arrived after this run had ended; it changes nothing.", type="late")
    live.lines.archive_from_table()
    discard_run(s3(), settings().bucket, job.kind, job.job_id, int(job.run_no))
    event("late result ignored", level="WARN", job_id=job.job_id, run_no=int(job.run_no), status=run.status)


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
        statement_timeout_seconds=None if job.statement_timeout_seconds is None else int(job.statement_timeout_seconds),
    )
