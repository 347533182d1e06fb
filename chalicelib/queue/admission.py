"""The way into the line: whether a waiting job whose time has come may be claimed, must be held back, or ends here."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from chalicelib.core.lifecycle import ACTIVE, JobStatus, Reason, Trigger
from chalicelib.core.overlap import Gate, OverlapPolicy, decide
from chalicelib.queue.completion import drop, stop_for
from chalicelib.queue.leases import FIRST_LEASE, look_at, out_of_time
from chalicelib.store import job_updates, jobs, tasks
from chalicelib.store.job_record import JobRecord

# Jobs that the overlap policy has a say in: those somebody started by hand were meant to start.
GATED = frozenset({Trigger.SCHEDULE, Trigger.BACKFILL})


class Pass(Enum):
    """What became of a waiting job that asked to step into the line."""

    GO = "go"
    NOT_YET = "not_yet"
    HELD_BACK = "held_back"
    ENDED = "ended"


def admit(job: JobRecord, *, now: datetime) -> Pass:
    """Let a waiting job into the line if its time has come, its clocks run, and the overlap policy agrees.

    The overlap policy is asked here, when the slot has come, and nowhere else: earlier it could not know whether the
    job before is still running.
    """
    if job.status != JobStatus.WAITING:
        return Pass.ENDED
    if job.not_before > now:
        return Pass.NOT_YET
    late = out_of_time(job, now=now)
    if late is not None:
        drop(job, JobStatus.TIMED_OUT, late[0], late[1], now=now)
        return Pass.ENDED
    if job.admitted or job.trigger not in GATED:
        return Pass.GO
    if job.trigger == Trigger.SCHEDULE and _withdrawn(job):
        drop(
            job,
            JobStatus.CANCELED,
            Reason.BY_POLICY,
            "The task was edited, disabled or deleted before the slot.",
            now=now,
        )
        return Pass.ENDED
    return _gate(job, now=now)


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


def _gate(job: JobRecord, *, now: datetime) -> Pass:
    policy = OverlapPolicy(job.overlap)
    if policy is OverlapPolicy.ALLOW_ALL:
        return Pass.GO
    others = earlier_open(job)
    buffered = sum(1 for other in others if other.buffered)
    verdict = decide(policy, earlier_active=len(others) - buffered, earlier_buffered=buffered)
    if verdict is Gate.SKIP and not job.late and all(other.late for other in others):
        # Slots that come while a missed one is made good are not to be lost for it.
        verdict = Gate.BUFFER
    if verdict is Gate.SKIP:
        running = next((other for other in others if other.status in ACTIVE), others[0])
        drop(job, JobStatus.SKIPPED, Reason.OVERLAP, f"Job {running.job_id} of this task had not ended.", now=now)
        return Pass.ENDED
    if verdict is Gate.CANCEL_OTHERS:
        for other in others:
            stop_for(other, job, now=now)
    if verdict is not Gate.ADMIT:
        job_updates.hold_back(job, lease_until=look_at(job, now + FIRST_LEASE))
        return Pass.HELD_BACK
    return Pass.GO
