"""The writes that leave a job's status as it is: its queue, priority, permits, requests to cancel, and its deletion.

Each answers whether it was written; False means that another process has changed the job since it was read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pynamodb.expressions.condition import Condition

from chalicelib.core.lifecycle import ACTIVE, JobStatus
from chalicelib.core.queue_keys import parked_key
from chalicelib.core.rank import rank as rank_of
from chalicelib.store.base import deleted, written
from chalicelib.store.job_conditions import fence_is, held_by_run, marked_once
from chalicelib.store.job_record import JobRecord
from chalicelib.store.jobs import lease_shard


def _unclaimed(job: JobRecord) -> Condition:
    unclaimed: Condition = (JobRecord.status == JobStatus.WAITING) & (JobRecord.run_no == job.run_no)
    return unclaimed


def make_ready(job: JobRecord) -> bool:
    """Put a waiting job that is due, and that the overlap policy let in, into its pool's queue."""
    actions = [JobRecord.ready_pool.set(job.pool), JobRecord.admitted.set(True), JobRecord.buffered.set(False)]
    return written(job, actions, _unclaimed(job))


def buffer(job: JobRecord, *, lease_until: datetime) -> bool:
    """Keep a waiting job out of every queue until an earlier job of its task has ended."""
    actions = [JobRecord.buffered.set(True), JobRecord.lease_until.set(lease_until), JobRecord.ready_pool.remove()]
    return written(job, actions, _unclaimed(job))


def widen_window(job: JobRecord, start: datetime) -> bool:
    """Let the window of a waiting job begin earlier."""
    return written(job, [JobRecord.window_start.set(start)], _unclaimed(job))


def park(job: JobRecord, limit: str) -> bool:
    """Move a waiting job, let in by the overlap policy, to the queue of those that wait for a permit of this limit."""
    actions = [
        JobRecord.ready_pool.set(parked_key(limit)),
        JobRecord.admitted.set(True),
        JobRecord.buffered.set(False),
    ]
    return written(job, actions, _unclaimed(job))


def refuse_claims(job: JobRecord, *, fence: str) -> bool:
    """Make every claim fail that began from the job as it was read, before the caller reclaims that claim's permit."""
    return written(job, [JobRecord.fence.set(fence)], (JobRecord.status == job.status) & fence_is(job.fence))


def count_against(job: JobRecord, limit: str) -> bool:
    """Note that an active job's run holds a permit of a limit set since its claim: its end then releases it."""
    return written(job, [JobRecord.holds.add({limit})], JobRecord.status.is_in(*sorted(ACTIVE)) & held_by_run(job))


def outlive_task(job: JobRecord) -> bool:
    """Have a waiting job that is due run although its task is being deleted."""
    return written(job, [JobRecord.outlives_task.set(True)], _unclaimed(job))


def token_sent_again(job: JobRecord, *, lease_until: datetime) -> bool:
    actions = [JobRecord.lease_until.set(lease_until), JobRecord.tokens_sent.set(JobRecord.tokens_sent + 1)]
    return written(job, actions, _unclaimed(job))


def renew_lease(job: JobRecord, *, lease_until: datetime) -> JobRecord | None:
    """Have `sweep` leave an active job to the run that `job` was read with until then: the job as it is now.

    None, and nothing changes, when that run does not hold the job any more. `job` stays as it is: its worker's other
    thread reads it.
    """
    found = JobRecord(job.job_id)
    held = JobRecord.status.is_in(*sorted(ACTIVE)) & held_by_run(job)
    return found if written(found, [JobRecord.lease_until.set(lease_until)], held) else None


def set_priority(job: JobRecord, priority: int, *, mark: str | None = None) -> bool:
    """Effective at the next claim; False when the job ended meanwhile."""
    actions = [JobRecord.priority.set(priority), JobRecord.rank.set(rank_of(job.enqueued_at, priority))]
    open_ = JobRecord.status.is_in(JobStatus.WAITING, *sorted(ACTIVE)) & (JobRecord.enqueued_at == job.enqueued_at)
    marking, guard = marked_once(job, mark, open_)
    return written(job, [*actions, *marking], guard)


def request_cancel(job: JobRecord, *, by: str, now: datetime, mark: str | None = None, by_policy: bool = False) -> bool:
    """Flag an active job; the first request stands. False when the job changed since it was read."""
    marking, guard = marked_once(job, mark, JobRecord.status.is_in(*sorted(ACTIVE)) & held_by_run(job))
    if job.cancel_requested_at is None:
        actions = [
            JobRecord.cancel_requested_at.set(now),
            JobRecord.cancel_requested_by.set(by),
            JobRecord.cancel_by_policy.set(by_policy),
        ]
        return written(job, [*actions, *marking], guard & JobRecord.cancel_requested_at.does_not_exist())
    return not marking or written(job, marking, guard)


# --- deleting ---------------------------------------------------------------------------------------------------------


def begin_delete(
    job: JobRecord, *, by: dict[str, Any], at: datetime, lease_until: datetime, mark: str | None = None
) -> bool:
    """Mark an ended job as being deleted: it shows no files from here on and cannot run again.

    Should the caller die, `sweep` finishes the deletion after `lease_until`. False when the job is open, or being
    deleted already.
    """
    actions = [
        JobRecord.deleted_at.set(at),
        JobRecord.deleted_by.set(by),
        JobRecord.files.remove(),
        JobRecord.lease_shard.set(lease_shard(job.job_id)),
        JobRecord.lease_until.set(lease_until),
    ]
    as_read = (JobRecord.status == job.status) & (JobRecord.run_no == job.run_no) & JobRecord.ended_at.exists()
    marking, guard = marked_once(job, mark, as_read & JobRecord.deleted_at.does_not_exist())
    return written(job, [*actions, *marking], guard)


def delete(job: JobRecord) -> bool:
    """Remove the record of a job that is being deleted, after its files, logs and runs; False when it is not marked."""
    return deleted(job, JobRecord.deleted_at.exists())
