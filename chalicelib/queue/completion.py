"""How a job comes to its end: after a run, or without one. Everything here may be repeated after a crash.

The run's record is the point of decision: worker, cancel and sweep compete to write its end, and exactly one wins. The
job then follows its run, by whoever comes first, in `settle`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from chalicelib import retention
from chalicelib.core.lifecycle import ACTIVE, JobStatus, Reason, RunStatus, cancel_reason
from chalicelib.core.overlap import OverlapPolicy
from chalicelib.core.prices import add_run
from chalicelib.core.retry import Retry
from chalicelib.core.retry import decide as retry_after
from chalicelib.log import event
from chalicelib.queue import concurrency, leases
from chalicelib.store import job_transitions, job_updates, jobs, runs, tasks
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord

# Under these policies a later job of the task may be held back until this one has ended.
BUFFERING = frozenset({OverlapPolicy.BUFFER_ONE, OverlapPolicy.BUFFER_ALL, OverlapPolicy.CANCEL_OTHER})


def complete(job: JobRecord, run: RunRecord, *, now: datetime) -> None:
    """Bring an active job to where its ended run leads: an end, or the wait for another attempt."""
    if run.status == RunStatus.SUCCEEDED:
        _end_job(job, run, JobStatus.SUCCEEDED, None, None, now=now)
    elif run.status == RunStatus.CANCELED and run.reason in (Reason.DEADLINE, Reason.STATEMENT):
        _end_job(job, run, JobStatus.TIMED_OUT, run.reason, run.error, now=now)
    elif run.status == RunStatus.CANCELED or job.cancel_requested_at is not None:
        _end_job(job, run, JobStatus.CANCELED, _who_canceled(job, run), run.error, now=now)
    elif run.reason is not None and run.reason.is_precondition:
        _end_job(job, run, JobStatus.BLOCKED, run.reason, run.error, now=now)
    elif not _try_again(job, run, now=now):
        status = JobStatus.TIMED_OUT if run.reason == Reason.STATEMENT else JobStatus.FAILED
        _end_job(job, run, status, run.reason, run.error, now=now)


def _try_again(job: JobRecord, run: RunRecord, *, now: datetime) -> bool:
    delay = retry_after(Retry.accept(job.retry), attempts_spent=int(job.attempts_spent), permanent=bool(run.permanent))
    if delay is None:
        return False
    not_before = now + delay
    end = leases.deadline(job)
    if end is not None and not_before >= end:
        _end_job(job, run, JobStatus.TIMED_OUT, Reason.DEADLINE, _past_deadline(job, run), now=now)
        return True
    promised = leases.lease_until(job, leases.token_lease(not_before, now=now))
    cost = add_run(job.cost, run.cost)
    if job_transitions.wait_again(job, not_before=not_before, lease_until=promised, error=run.error, cost=cost):
        concurrency.release_all(job, now=now)
        leases.send_token(job, now=now)
        event("job waits for its next attempt", job_id=job.job_id, run_no=int(job.run_no), not_before=not_before)
        return True
    # Somebody asked to cancel it or changed its priority since it was read, or settled it already.
    fresh = jobs.find(job.job_id)
    if fresh is not None and fresh.status in ACTIVE and fresh.fence == run.fence:
        complete(fresh, run, now=now)
    return True


def _who_canceled(job: JobRecord, run: RunRecord) -> Reason:
    if run.status == RunStatus.CANCELED and run.reason is not None:
        return run.reason
    return cancel_reason(job.cancel_requested_by)


def _past_deadline(job: JobRecord, run: RunRecord) -> str:
    return f"The next attempt would start after the deadline of {job.deadline_seconds} s. The last error: {run.error}"


def _end_job(
    job: JobRecord, run: RunRecord, status: JobStatus, reason: Reason | None, error: str | None, *, now: datetime
) -> None:
    # Before the job's own end, so that a crash between the two is made good when the lease runs out.
    expire_runs(job, run, now=now)
    tasks.note_latest(job.task_id, job_id=job.job_id, status=status, at=now)
    if job_transitions.end_with_run(job, status, run, reason=reason, error=error, now=now):
        event("job ended", job_id=job.job_id, task_id=job.task_id, status=status, reason=reason, run_no=int(job.run_no))
        concurrency.release_all(job, now=now)
        wake_buffered(job, now=now)


def expire_runs(job: JobRecord, run: RunRecord | None, *, now: datetime) -> None:
    """Let the runs of a job that is about to end expire with it. `run`, the last, may say so itself by now."""
    until = retention.expires_at(job.kind, now)
    known = {int(run.run_no)} if run is not None and run.expires_at == until else set()
    runs.keep(job.job_id, sorted(set(range(1, int(job.run_no) + 1)) - known), until=until)


def end_without_run(
    job: JobRecord,
    status: JobStatus,
    reason: Reason,
    error: str | None,
    *,
    now: datetime,
    by: str | None = None,
    only_planned: bool = False,
    mark: str | None = None,
    one_of_many: bool = False,
) -> bool:
    """End a waiting job without a run; False when it is not waiting any more.

    For `one_of_many` the caller asks for what follows from all of them together, by `after_drops`.
    """
    if not only_planned and not one_of_many:
        tasks.note_latest(job.task_id, job_id=job.job_id, status=status, at=now)
    expire_runs(job, None, now=now)
    ended = job_transitions.end_without_run(
        job, status, reason=reason, error=error, now=now, by=by, only_planned=only_planned, mark=mark
    )
    if ended:
        event("job ended without a run", job_id=job.job_id, task_id=job.task_id, status=status, reason=reason)
        if not one_of_many:
            wake_buffered(job, now=now)
    return ended


def after_many_ended(dropped: Iterable[JobRecord], *, now: datetime) -> None:
    """What follows from dropping many jobs, once for each of their tasks: thousands may be of one."""
    newest: dict[str, JobRecord] = {}
    holding: dict[str, JobRecord] = {}
    for job in sorted(dropped, key=lambda each: each.job_id):
        newest[job.task_id] = job
        if _may_buffer_others(job):
            holding[job.task_id] = job
    for job in newest.values():
        tasks.note_latest(job.task_id, job_id=job.job_id, status=job.status, at=now)
    for job in holding.values():
        wake_buffered(job, now=now)


def preempt(other: JobRecord, job: JobRecord, *, now: datetime) -> None:
    """Make way for a later job of the task: end `other` while it waits, or ask its worker to stop."""
    message = f"Made way for job {job.job_id} of the same task."
    if other.status in ACTIVE:
        job_updates.request_cancel(other, by=Reason.BY_POLICY, now=now)
    else:
        end_without_run(other, JobStatus.CANCELED, Reason.BY_POLICY, message, now=now)


def _may_buffer_others(job: JobRecord) -> bool:
    """Whether a later job of the task may wait for this one's end."""
    return job.late or OverlapPolicy(job.overlap) in BUFFERING


def wake_buffered(job: JobRecord, *, now: datetime) -> None:
    """Send the oldest job of the task that was held back to ask again. Should this be lost, its lease runs out."""
    if not _may_buffer_others(job):
        return
    held = [other for other in jobs.get_many(jobs.open_ids_of_task(job.task_id)) if other.buffered]
    for other in sorted(held, key=lambda each: each.job_id)[:1]:
        leases.send_token(other, now=now)
