"""The way into the line: whether a waiting job whose time has come may be claimed, must be held back, or ends here."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from chalicelib.core.lifecycle import ACTIVE, JobStatus, Reason, Trigger
from chalicelib.core.overlap import OverlapDecision, OverlapPolicy, decide
from chalicelib.queue.completion import end_without_run, preempt
from chalicelib.queue.leases import FIRST_LEASE, expired_clock, lease_until
from chalicelib.store import job_updates, jobs, tasks
from chalicelib.store.job_record import JobRecord

# Jobs that the overlap policy has a say in: those somebody started by hand were meant to start.
SUBJECT_TO_OVERLAP = frozenset({Trigger.SCHEDULE, Trigger.BACKFILL})


class Admission(Enum):
    """What became of a waiting job that asked to step into the line."""

    ADMITTED = "admitted"
    TOO_EARLY = "too_early"
    BUFFERED = "buffered"
    ENDED = "ended"


def admit(job: JobRecord, *, now: datetime) -> Admission:
    """Let a waiting job into the line if its time has come, its clocks run, and the overlap policy agrees.

    The overlap policy is asked here, when the slot has come, and nowhere else: earlier it could not know whether the
    job before is still running.
    """
    if job.status != JobStatus.WAITING:
        return Admission.ENDED
    if job.not_before > now:
        return Admission.TOO_EARLY
    late = expired_clock(job, now=now)
    if late is not None:
        end_without_run(job, JobStatus.TIMED_OUT, late[0], late[1], now=now)
        return Admission.ENDED
    if job.admitted or job.trigger not in SUBJECT_TO_OVERLAP:
        return Admission.ADMITTED
    if job.trigger == Trigger.SCHEDULE and _withdrawn(job):
        end_without_run(
            job,
            JobStatus.CANCELED,
            Reason.BY_POLICY,
            "The task was edited, disabled or deleted before the slot.",
            now=now,
        )
        return Admission.ENDED
    return _ask_overlap_policy(job, now=now)


def _withdrawn(job: JobRecord) -> bool:
    """Whether the task changed between planning the slot and the slot: its new revision plans for itself."""
    task = tasks.find(job.task_id)
    if task is None:
        return not job.outlives_task
    # An edit after the slot came does not take back what was due before.
    changed = not task.enabled or task.revision > job.task_revision
    return bool(changed and task.updated_at <= job.scheduled_for)


def earlier_open(job: JobRecord) -> list[JobRecord]:
    """The task's earlier jobs that have not ended, read consistently (the index may lag behind an end)."""
    ids = jobs.open_ids_of_task(job.task_id, before=job.job_id)
    return [other for other in jobs.get_many(ids) if other.active_task is not None] if ids else []


def _ask_overlap_policy(job: JobRecord, *, now: datetime) -> Admission:
    policy = OverlapPolicy(job.overlap)
    if policy is OverlapPolicy.ALLOW_ALL:
        return Admission.ADMITTED
    others = earlier_open(job)
    buffered = sum(1 for other in others if other.buffered)
    verdict = decide(policy, earlier_active=len(others) - buffered, earlier_buffered=buffered)
    if verdict is OverlapDecision.SKIP and not job.late and all(other.late for other in others):
        # Slots that come while a missed one is made good are not to be lost for it.
        verdict = OverlapDecision.BUFFER
    if verdict is OverlapDecision.SKIP:
        running = next((other for other in others if other.status in ACTIVE), others[0])
        end_without_run(
            job, JobStatus.SKIPPED, Reason.OVERLAP, f"Job {running.job_id} of this task had not ended.", now=now
        )
        return Admission.ENDED
    if verdict is OverlapDecision.CANCEL_OTHERS:
        for other in others:
            preempt(other, job, now=now)
    if verdict is not OverlapDecision.ADMIT:
        job_updates.buffer(job, lease_until=lease_until(job, now + FIRST_LEASE))
        return Admission.BUFFERED
    return Admission.ADMITTED
