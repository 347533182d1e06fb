"""How a job ends: after a run, or without one. Every step may be repeated after a crash.

The run's record decides: worker, cancel and sweep compete to write its end, and exactly one wins. Each of them may then
call `complete`, which brings the job to where that run leads.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from chalicelib import metrics, retention
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

# Under these policies a later job of the task may be buffered until this one has ended.
BUFFERING = frozenset({OverlapPolicy.BUFFER_ONE, OverlapPolicy.BUFFER_ALL, OverlapPolicy.CANCEL_OTHER})


# --- after a run ------------------------------------------------------------------------------------------------------


def complete(job: JobRecord, run: RunRecord, *, now: datetime) -> None:
    """Bring an active job to where its ended run leads: to its own end, or to the wait for another attempt."""
    if run.status == RunStatus.SUCCEEDED:
        _end_job(job, run, JobStatus.SUCCEEDED, None, None, now=now)
    elif run.status == RunStatus.CANCELED and run.reason in (Reason.DEADLINE, Reason.STATEMENT):
        _end_job(job, run, JobStatus.TIMED_OUT, run.reason, run.error, now=now)
    elif run.status == RunStatus.CANCELED or job.cancel_requested_at is not None:
        _end_job(job, run, JobStatus.CANCELED, _reason_of_cancel(job, run), run.error, now=now)
    elif run.reason is not None and run.reason.is_precondition:
        _end_job(job, run, JobStatus.BLOCKED, run.reason, run.error, now=now)
    elif not _retry(job, run, now=now):
        status = JobStatus.TIMED_OUT if run.reason == Reason.STATEMENT else JobStatus.FAILED
        _end_job(job, run, status, run.reason, run.error, now=now)


def _retry(job: JobRecord, run: RunRecord, *, now: datetime) -> bool:
    """Have the job wait for another attempt; False when there is to be none. Past the deadline the job ends here."""
    delay = retry_after(Retry.accept(job.retry), attempts_spent=int(job.attempts_spent), permanent=bool(run.permanent))
    if delay is None:
        return False
    not_before = now + delay
    end = leases.deadline(job)
    if end is not None and not_before >= end:
        _end_job(job, run, JobStatus.TIMED_OUT, Reason.DEADLINE, _past_deadline(job, run), now=now)
        return True
    lease_until = leases.lease_until(job, leases.token_lease(not_before, now=now))
    cost = add_run(job.cost, run.cost)
    if job_transitions.wait_again(job, not_before=not_before, lease_until=lease_until, error=run.error, cost=cost):
        concurrency.release_all(job, now=now)
        leases.send_token(job, now=now)
        event("job waits for its next attempt", job_id=job.job_id, run_no=int(job.run_no), not_before=not_before)
        return True
    # Since the job was read, a person canceled it or changed its priority, or another caller completed it.
    fresh = jobs.find(job.job_id)
    if fresh is not None and fresh.status in ACTIVE and fresh.fence == run.fence:
        complete(fresh, run, now=now)
    return True


def _reason_of_cancel(job: JobRecord, run: RunRecord) -> Reason:
    if run.status == RunStatus.CANCELED and run.reason is not None:
        return run.reason
    return cancel_reason(job.cancel_requested_by, job.cancel_by_policy)


def _past_deadline(job: JobRecord, run: RunRecord) -> str:
    return f"The next attempt would start after the deadline of {job.deadline_seconds} s. The last error: {run.error}"


def _end_job(
    job: JobRecord, run: RunRecord, status: JobStatus, reason: Reason | None, error: str | None, *, now: datetime
) -> None:
    # Before the job's own end: after a crash in between, the job's lease expires and `sweep` completes it.
    expire_runs(job, run, now=now)
    tasks.note_latest(job.task_id, job_id=job.job_id, status=status, at=now)
    if job_transitions.end_with_run(job, status, run, reason=reason, error=error, now=now):
        event("job ended", job_id=job.job_id, task_id=job.task_id, status=status, reason=reason, run_no=int(job.run_no))
        rows = None if run.rows is None else int(run.rows)
        metrics.job_ended(job.kind, status, rows=rows, job_id=job.job_id)
        concurrency.release_all(job, now=now)
        wake_buffered(job, now=now)


def expire_runs(job: JobRecord, run: RunRecord | None, *, now: datetime) -> None:
    """Let the runs of a job that is about to end expire with it. `run`, the last one, may have that time already."""
    until = retention.expires_at(job.kind, now)
    known = {int(run.run_no)} if run is not None and run.expires_at == until else set()
    runs.set_expiry(job.job_id, sorted(set(range(1, int(job.run_no) + 1)) - known), until=until)


# --- without a run ----------------------------------------------------------------------------------------------------


def end_without_run(
    job: JobRecord,
    status: JobStatus,
    reason: Reason,
    error: str | None,
    *,
    now: datetime,
    by: str | None = None,
    mark: str | None = None,
) -> bool:
    """End a waiting job without a run; False when it waits no longer. `by` names the person who canceled it."""
    tasks.note_latest(job.task_id, job_id=job.job_id, status=status, at=now)
    ended = end_one_of_many(job, status, reason, error, now=now, by=by, mark=mark)
    if ended:
        wake_buffered(job, now=now)
    return ended


def end_one_of_many(
    job: JobRecord,
    status: JobStatus,
    reason: Reason,
    error: str | None,
    *,
    now: datetime,
    by: str | None = None,
    mark: str | None = None,
) -> bool:
    """`end_without_run` for a caller that ends many jobs, and then calls `after_many_ended` once for all of them."""
    expire_runs(job, None, now=now)
    # A re-run that ends before it starts leaves the job with the times of the run before.
    last = runs.find(job.job_id, int(job.run_no)) if job.run_no and job.started_at is None else None
    ended = job_transitions.end_without_run(
        job, status, reason=reason, error=error, now=now, by=by, mark=mark, started_at=last and last.started_at
    )
    if ended:
        _log_end_without_run(job, status, reason)
    return ended


def after_many_ended(ended: Iterable[JobRecord], *, now: datetime) -> None:
    """What follows from ending many jobs without a run, once for each of their tasks: thousands may be of one."""
    newest: dict[str, JobRecord] = {}
    blocking: dict[str, JobRecord] = {}
    for job in sorted(ended, key=lambda each: each.job_id):
        newest[job.task_id] = job
        if _may_buffer_others(job):
            blocking[job.task_id] = job
    for job in newest.values():
        tasks.note_latest(job.task_id, job_id=job.job_id, status=job.status, at=now)
    for job in blocking.values():
        wake_buffered(job, now=now)


def withdraw(job: JobRecord, why: str, *, now: datetime) -> bool:
    """Cancel a planned job whose slot an edit of its task took away; False when it has been admitted meanwhile."""
    expire_runs(job, None, now=now)
    status, reason = JobStatus.CANCELED, Reason.BY_POLICY
    ended = job_transitions.end_without_run(job, status, reason=reason, error=why, now=now, only_planned=True)
    if ended:
        _log_end_without_run(job, status, reason)
        wake_buffered(job, now=now)
    return ended


def _log_end_without_run(job: JobRecord, status: JobStatus, reason: Reason) -> None:
    event("job ended without a run", job_id=job.job_id, task_id=job.task_id, status=status, reason=reason)
    metrics.job_ended(job.kind, status, job_id=job.job_id)


# --- jobs of the same task --------------------------------------------------------------------------------------------


def preempt(other: JobRecord, job: JobRecord, *, now: datetime) -> None:
    """Make way for a later job of the task: end `other` while it waits, or ask its worker to stop."""
    if other.status in ACTIVE:
        job_updates.request_cancel(other, by=Reason.BY_POLICY, now=now, by_policy=True)
    else:
        message = f"Made way for job {job.job_id} of the same task."
        end_without_run(other, JobStatus.CANCELED, Reason.BY_POLICY, message, now=now)


def _may_buffer_others(job: JobRecord) -> bool:
    """Whether a later job of the task may wait for this one's end."""
    return job.late or job.overlap in BUFFERING


def wake_buffered(job: JobRecord, *, now: datetime) -> None:
    """After a job's end: send the token of the task's oldest buffered job, so that it asks for admission again.

    Should the process die before, that job's lease expires and `sweep` sends the token.
    """
    if not _may_buffer_others(job):
        return
    found, _ = jobs.get_readable(jobs.open_ids_of_task(job.task_id))
    buffered = [other for other in found if other.buffered]
    if buffered:
        leases.send_token(min(buffered, key=lambda each: each.job_id), now=now)
