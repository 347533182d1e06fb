"""What changes a job that is there: each write under the condition that allows it.

`_move` is the one function that writes a job's status.

Where a function answers with a bool, False means that the job was not as the caller had read it: somebody was quicker.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pynamodb.expressions.condition import Condition

from chalicelib import retention
from chalicelib.core.lifecycle import ACTIVE, JobStatus, Move, Reason, Trigger, sources_of
from chalicelib.core.lines import limit_line, minute_line
from chalicelib.core.rank import rank as rank_of
from chalicelib.store.base import Refused, refusing
from chalicelib.store.job_record import JobRecord
from chalicelib.store.jobs import facets, lease_shard

# --- the one writer of status -----------------------------------------------------------------------------------------


def _move(
    job: JobRecord, move: Move, target: JobStatus, actions: list[Any], guard: Condition | None = None
) -> JobRecord:
    """Move a job to `target` as TRANSITIONS allows, and bring `job` up to date. Raises Refused."""
    before = sorted(sources_of(move, target))
    condition: Condition = JobRecord.status == before[0] if len(before) == 1 else JobRecord.status.is_in(*before)
    if guard is not None:
        condition &= guard
    with refusing():
        job.update([JobRecord.status.set(target), *actions], condition=condition)
    return job


def _once(mark: str | None, guard: Condition | None) -> tuple[list[Any], Condition | None]:
    """What makes a write of a request or a batch happen once: it leaves its mark, and is refused where it stands."""
    if mark is None:
        return [], guard
    unmarked: Condition = ~JobRecord.acts.contains(mark)
    return [JobRecord.acts.add({mark})], unmarked if guard is None else guard & unmarked


def _held(job: JobRecord) -> Condition:
    """The job is still in the hands of the run that `job` was read with."""
    held: Condition = (JobRecord.fence == job.fence) & (JobRecord.run_no == job.run_no)
    return held


def _fence_is(fence: str | None) -> Condition:
    same: Condition = JobRecord.fence.does_not_exist() if fence is None else JobRecord.fence == fence
    return same


def claim(
    job: JobRecord,
    *,
    worker: str,
    fence: str,
    lease_until: datetime,
    now: datetime,
    holds: frozenset[str] = frozenset(),
) -> bool:
    """waiting -> assigned, for one worker alone; False when another was quicker or the job may not start yet.

    `holds`: the limits that count this run.
    """
    as_read = (JobRecord.run_no == job.run_no) & _fence_is(job.fence)
    actions = [
        JobRecord.run_no.set(JobRecord.run_no + 1),
        JobRecord.attempts_spent.set(JobRecord.attempts_spent + 1),
        JobRecord.fence.set(fence),
        *([JobRecord.holds.set(set(holds))] if holds else [JobRecord.holds.remove()] if job.holds else []),
        JobRecord.worker.set(worker),
        JobRecord.lease_until.set(lease_until),
        JobRecord.admitted.set(True),
        JobRecord.buffered.set(False),
        JobRecord.ready_pool.remove(),
        JobRecord.next_attempt_at.remove(),
        # What is shown from here on is this attempt's; the runs keep theirs.
        JobRecord.error.remove(),
    ]
    try:
        _move(job, Move.CLAIM, JobStatus.ASSIGNED, actions, (JobRecord.not_before <= now) & as_read)
    except Refused:
        return False
    return True


def start(job: JobRecord, *, now: datetime) -> bool:
    """assigned -> running; False when the lease was lost meanwhile."""
    due = max(job.enqueued_at, job.not_before)
    lateness = round(max(0.0, (now - due).total_seconds()), 3)
    actions = [
        JobRecord.started_at.set(now),
        JobRecord.first_started_at.set(JobRecord.first_started_at | now),
        JobRecord.lateness_seconds.set(JobRecord.lateness_seconds | lateness),
    ]
    try:
        _move(job, Move.START, JobStatus.RUNNING, actions, _held(job))
    except Refused:
        return False
    return True


def wait_again(
    job: JobRecord,
    *,
    not_before: datetime,
    lease_until: datetime,
    error: str | None,
    cost: dict[str, Any] | None = None,
) -> bool:
    """assigned or running -> waiting, for the next attempt; False when its lease or the wish for another is gone."""
    actions = [
        JobRecord.not_before.set(not_before),
        JobRecord.next_attempt_at.set(not_before),
        JobRecord.enqueued_at.set(not_before),
        JobRecord.rank.set(rank_of(not_before, int(job.priority))),
        JobRecord.ready_pool.set(minute_line(job.pool, not_before)),
        JobRecord.lease_until.set(lease_until),
        JobRecord.tokens_sent.set(1),
        JobRecord.error.remove() if error is None else JobRecord.error.set(error),
        *([] if cost is None else [JobRecord.cost.set(cost)]),
    ]
    # The rank is of the priority as it was read.
    wanted = JobRecord.cancel_requested_at.does_not_exist() & (JobRecord.priority == job.priority)
    try:
        _move(job, Move.RETRY, JobStatus.WAITING, actions, _held(job) & wanted)
    except Refused:
        return False
    return True


def _ending(job: JobRecord, reason: Reason | None, error: str | None, now: datetime, target: JobStatus) -> list[Any]:
    return [
        JobRecord.facets.set(facets(job, target, reason)),
        JobRecord.ended_at.set(now),
        JobRecord.expires_at.set(retention.expires_at(job.kind, now)),
        JobRecord.reason.remove() if reason is None else JobRecord.reason.set(reason),
        JobRecord.error.remove() if error is None else JobRecord.error.set(error),
        *([JobRecord.canceled_at.set(now)] if target == JobStatus.CANCELED else []),
        JobRecord.ready_pool.remove(),
        JobRecord.lease_shard.remove(),
        JobRecord.lease_until.remove(),
        JobRecord.active_task.remove(),
        JobRecord.next_attempt_at.remove(),
        JobRecord.buffered.set(False),
    ]


def finish(
    job: JobRecord,
    target: JobStatus,
    *,
    reason: Reason | None,
    error: str | None,
    now: datetime,
    stopped_at: datetime | None = None,
    rows: float | None = None,
    bytes: float | None = None,
    summary: str | None = None,
    files: list[dict[str, Any]] | None = None,
    cost: dict[str, Any] | None = None,
) -> bool:
    """assigned or running -> ended, with what the run left behind; this write is what makes the files visible."""
    actions = _ending(job, reason, error, now, target)
    left = {"stopped_at": stopped_at, "rows": rows, "bytes": bytes, "summary": summary, "files": files, "cost": cost}
    actions += [getattr(JobRecord, name).set(value) for name, value in left.items() if value is not None]
    try:
        _move(job, Move.FINISH, target, actions, _held(job))
    except Refused:
        return False
    return True


def drop(
    job: JobRecord,
    target: JobStatus,
    *,
    reason: Reason,
    error: str | None,
    now: datetime,
    by: str | None = None,
    only_planned: bool = False,
    mark: str | None = None,
) -> bool:
    """waiting -> ended without a run. `only_planned` spares a job that has been let into the line meanwhile."""
    actions = _ending(job, reason, error, now, target)
    if by is not None:
        actions += [
            JobRecord.cancel_requested_at.set(now),
            JobRecord.cancel_requested_by.set(by),
            JobRecord.stopped_at.set(now),
        ]
    guard = (
        (JobRecord.not_before > now) & (JobRecord.admitted == False) & (JobRecord.run_no == 0)  # noqa: E712
        if only_planned
        else None
    )
    marking, guard = _once(mark, guard)
    try:
        _move(job, Move.DROP, target, [*actions, *marking], guard)
    except Refused:
        return False
    return True


def rerun(job: JobRecord, *, by: str, now: datetime, lease_until: datetime, mark: str | None = None) -> bool:
    """ended -> waiting, by a person: the same frozen window and parameters, a new run, attempts counted anew.

    From here on the lists show who asked for this, no longer what made the job.

    The files of an earlier run stay until another run publishes its own.
    """
    names = (
        "ended_at", "expires_at", "reason", "error", "canceled_at", "stopped_at", "cancel_requested_at",
        "cancel_requested_by", "started_at", "first_started_at", "lateness_seconds",
    )  # fmt: skip
    actions = [
        JobRecord.not_before.set(now),
        JobRecord.enqueued_at.set(now),
        JobRecord.rank.set(rank_of(now, int(job.priority))),
        JobRecord.ready_pool.set(job.pool),
        JobRecord.admitted.set(True),
        JobRecord.active_task.set(job.task_id),
        JobRecord.lease_shard.set(lease_shard(job.job_id)),
        JobRecord.lease_until.set(lease_until),
        JobRecord.attempts_spent.set(0),
        JobRecord.tokens_sent.set(1),
        JobRecord.trigger.set(Trigger.RERUN),
        JobRecord.operator.set(by),
        JobRecord.facets.set(facets(job, JobStatus.WAITING, None, trigger=Trigger.RERUN, operator=by)),
        *[getattr(JobRecord, name).remove() for name in names],
    ]
    as_read = (JobRecord.run_no == job.run_no) & (JobRecord.priority == job.priority)
    marking, guard = _once(mark, as_read & JobRecord.deleted_at.does_not_exist())
    try:
        _move(job, Move.RERUN, JobStatus.WAITING, [*actions, *marking], guard)
    except Refused:
        return False
    return True


# --- while waiting or active ------------------------------------------------------------------------------------------


def _touch(job: JobRecord, actions: list[Any], condition: Condition | None) -> bool:
    try:
        with refusing():
            job.update(actions, condition=condition)
    except Refused:
        return False
    return True


def _unclaimed(job: JobRecord) -> Condition:
    unclaimed: Condition = (JobRecord.status == JobStatus.WAITING) & (JobRecord.run_no == job.run_no)
    return unclaimed


def make_ready(job: JobRecord) -> bool:
    """Put a waiting job whose time has come, and that the overlap policy let in, into its pool's line."""
    actions = [JobRecord.ready_pool.set(job.pool), JobRecord.admitted.set(True), JobRecord.buffered.set(False)]
    return _touch(job, actions, _unclaimed(job))


def hold_back(job: JobRecord, *, lease_until: datetime) -> bool:
    """Keep a waiting job out of every line until an earlier job of its task has ended."""
    actions = [JobRecord.buffered.set(True), JobRecord.lease_until.set(lease_until), JobRecord.ready_pool.remove()]
    return _touch(job, actions, _unclaimed(job))


def park(job: JobRecord, limit: str) -> bool:
    """Keep a waiting job, let in by the overlap policy, out of its pool's line until there is room in a limit."""
    actions = [
        JobRecord.ready_pool.set(limit_line(limit)),
        JobRecord.admitted.set(True),
        JobRecord.buffered.set(False),
    ]
    return _touch(job, actions, _unclaimed(job))


def refuse_claims(job: JobRecord, *, fence: str) -> bool:
    """Make every claim fail that began from the job as it was read: for who is about to take back its place."""
    return _touch(job, [JobRecord.fence.set(fence)], (JobRecord.status == job.status) & _fence_is(job.fence))


def hold(job: JobRecord, limit: str) -> bool:
    """Have the end of an active job's run give back its place in a limit that was set since its claim."""
    return _touch(job, [JobRecord.holds.add({limit})], JobRecord.status.is_in(*sorted(ACTIVE)) & _held(job))


def outlive_task(job: JobRecord) -> bool:
    """Let a waiting job that is due run although its task is being deleted."""
    return _touch(job, [JobRecord.outlives_task.set(True)], _unclaimed(job))


def token_sent_again(job: JobRecord, *, lease_until: datetime) -> bool:
    actions = [JobRecord.lease_until.set(lease_until), JobRecord.tokens_sent.set(JobRecord.tokens_sent + 1)]
    return _touch(job, actions, _unclaimed(job))


def set_priority(job: JobRecord, priority: int, *, mark: str | None = None) -> bool:
    """Effective at the next claim; False when the job ended meanwhile."""
    actions = [JobRecord.priority.set(priority), JobRecord.rank.set(rank_of(job.enqueued_at, priority))]
    open_ = JobRecord.status.is_in(JobStatus.WAITING, *sorted(ACTIVE)) & (JobRecord.enqueued_at == job.enqueued_at)
    marking, guard = _once(mark, open_)
    return _touch(job, [*actions, *marking], guard)


def request_cancel(job: JobRecord, *, by: str, now: datetime, mark: str | None = None) -> bool:
    """Flag an active job; the first request stands. False when the job is not active any more."""
    requested_at, requested_by = JobRecord.cancel_requested_at, JobRecord.cancel_requested_by
    actions = [requested_at.set(requested_at | now), requested_by.set(requested_by | by)]
    marking, guard = _once(mark, JobRecord.status.is_in(*sorted(ACTIVE)) & _held(job))
    return _touch(job, [*actions, *marking], guard)


# --- deleting ---------------------------------------------------------------------------------------------------------


def begin_delete(
    job: JobRecord, *, by: dict[str, Any], at: datetime, lease_until: datetime, mark: str | None = None
) -> bool:
    """Mark an ended job as going: it shows no files from here on, cannot be run again, and `sweep` looks after it.

    False when it is open, or going already.
    """
    actions = [
        JobRecord.deleted_at.set(at),
        JobRecord.deleted_by.set(by),
        JobRecord.files.remove(),
        JobRecord.lease_shard.set(lease_shard(job.job_id)),
        JobRecord.lease_until.set(lease_until),
    ]
    as_read = (JobRecord.status == job.status) & (JobRecord.run_no == job.run_no) & JobRecord.ended_at.exists()
    marking, guard = _once(mark, as_read & JobRecord.deleted_at.does_not_exist())
    return _touch(job, [*actions, *marking], guard)


def delete(job: JobRecord) -> bool:
    """Remove the record of a job that is going, after all that hangs on it; False when it is not."""
    try:
        with refusing():
            job.delete(condition=JobRecord.deleted_at.exists())
    except Refused:
        return False
    return True
