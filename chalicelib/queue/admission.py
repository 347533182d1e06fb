"""Admission: whether a waiting job whose time has come may be claimed, is buffered, or ends here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum

from chalicelib.core.lifecycle import ACTIVE, JobStatus, Reason, Trigger
from chalicelib.core.overlap import OverlapDecision, OverlapPolicy, decide
from chalicelib.queue.completion import end_without_run, preempt
from chalicelib.queue.leases import FIRST_LEASE, expired_clock, lease_until
from chalicelib.queue.takeover import take_over_windows
from chalicelib.store import job_updates, jobs, tasks
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord

# Jobs that the overlap policy applies to. A person who starts a job by hand means it to start.
SUBJECT_TO_OVERLAP = frozenset({Trigger.SCHEDULE, Trigger.BACKFILL})


class Admission(Enum):
    """What became of a waiting job that asked for admission."""

    ADMITTED = "admitted"
    TOO_EARLY = "too_early"
    BUFFERED = "buffered"
    ENDED = "ended"


def admit(job: JobRecord, *, now: datetime, find_task: Callable[[str], TaskRecord | None] = tasks.find) -> Admission:
    """Admit a waiting job if its time has come, no clock of it ran out, and the overlap policy agrees.

    Only here is the overlap policy asked. Before the slot it could not know whether the job before still runs then.
    `find_task` may give the task as it was read since the job's time came.
    """
    if job.status != JobStatus.WAITING:
        return Admission.ENDED
    if job.not_before > now:
        return Admission.TOO_EARLY
    expired = expired_clock(job, now=now)
    if expired is not None:
        reason, message = expired
        end_without_run(job, JobStatus.TIMED_OUT, reason, message, now=now)
        return Admission.ENDED
    if job.admitted or job.trigger not in SUBJECT_TO_OVERLAP:
        return Admission.ADMITTED
    if job.trigger == Trigger.SCHEDULE and _withdrawn(job, find_task(job.task_id)):
        message = "The task was edited, disabled or deleted before the slot."
        end_without_run(job, JobStatus.CANCELED, Reason.BY_POLICY, message, now=now)
        return Admission.ENDED
    return _apply_overlap_policy(job, now=now)


def _withdrawn(job: JobRecord, task: TaskRecord | None) -> bool:
    """Whether the task changed after the slot was planned and before it came: the new revision plans its own slots."""
    if task is None:
        return not job.outlives_task
    # An edit after the slot does not cancel what was due before it.
    changed = not task.enabled or task.revision > job.task_revision
    return bool(changed and task.updated_at < job.scheduled_for)


def _earlier_open(job: JobRecord) -> list[JobRecord]:
    """The task's earlier jobs that have not ended. Read from the table: the index may still show one that has."""
    # One that cannot be read counts for none: this job is not at fault.
    found, _ = jobs.get_readable(jobs.open_ids_of_task(job.task_id, before=job.job_id))
    return [other for other in found if other.active_task is not None]


def _apply_overlap_policy(job: JobRecord, *, now: datetime) -> Admission:
    policy = OverlapPolicy(job.overlap)
    if policy is OverlapPolicy.ALLOW_ALL:
        take_over_windows(job)
        return Admission.ADMITTED
    others = _earlier_open(job)
    buffered = sum(1 for other in others if other.buffered)
    decision = decide(policy, earlier_active=len(others) - buffered, earlier_buffered=buffered)
    if decision is OverlapDecision.SKIP and not job.late and all(other.late for other in others):
        # A missed slot that runs late must not cost the slots that come meanwhile.
        decision = OverlapDecision.BUFFER
    if decision is OverlapDecision.SKIP:
        # The next slot that runs then looks back no further than here.
        take_over_windows(job)
        running = next((other for other in others if other.status in ACTIVE), others[0])
        message = f"Job {running.job_id} of this task had not ended."
        end_without_run(job, JobStatus.SKIPPED, Reason.OVERLAP, message, now=now)
        return Admission.ENDED
    if decision is OverlapDecision.CANCEL_OTHERS:
        for other in others:
            preempt(other, job, now=now)
    if decision is not OverlapDecision.ADMIT:
        job_updates.buffer(job, lease_until=lease_until(job, now + FIRST_LEASE))
        return Admission.BUFFERED
    take_over_windows(job)
    return Admission.ADMITTED
