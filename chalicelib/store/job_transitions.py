"""The writes that change a job's status, each under the condition that allows it. `job_updates.py` has the others.

`_transition` is the one function that writes a job's status.

Each answers whether it was written; False means that another process has changed the job since it was read.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pynamodb.expressions.condition import Condition

from chalicelib import log, retention
from chalicelib.core.bounds import shortened
from chalicelib.core.facets import USUAL, facet
from chalicelib.core.lifecycle import JobStatus, Move, Reason, Trigger, sources_of
from chalicelib.core.prices import add_run
from chalicelib.core.queue_keys import minute_key, ready_key
from chalicelib.core.rank import rank as rank_of
from chalicelib.core.record_bounds import ERROR_BYTES, SUMMARY_BYTES
from chalicelib.errors import RecordTooLarge
from chalicelib.log import event
from chalicelib.store.base import set_or_remove, written
from chalicelib.store.job_conditions import as_listed, fence_is, held_by_run, marked_once
from chalicelib.store.job_record import JobRecord
from chalicelib.store.jobs import facets, lease_shard
from chalicelib.store.runs import RunRecord

# --- the one writer of status -----------------------------------------------------------------------------------------


def _transition(
    job: JobRecord,
    move: Move,
    target: JobStatus,
    actions: list[Any],
    guard: Condition | None = None,
    *,
    stands: Callable[[], bool] | None = None,
) -> bool:
    """Write the status where TRANSITIONS allows the move, with the other actions, and bring `job` up to date."""
    before = sorted(sources_of(move, target))
    condition: Condition = JobRecord.status == before[0] if len(before) == 1 else JobRecord.status.is_in(*before)
    if guard is not None:
        condition &= guard
    return written(job, [JobRecord.status.set(target), *actions], condition, stands=stands)


def claim(
    job: JobRecord,
    *,
    worker: str,
    fence: str,
    lease_until: datetime,
    now: datetime,
    holds: frozenset[str] = frozenset(),
) -> bool:
    """waiting -> running, for one worker alone; False when another was quicker or the job may not start yet.

    `holds`: the limits in which this run has a permit.
    """
    as_read = (JobRecord.run_no == job.run_no) & fence_is(job.fence)
    due = max(job.enqueued_at, job.not_before)
    lateness = round(max(0.0, (now - due).total_seconds()), 3)
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
        JobRecord.started_at.set(now),
        JobRecord.first_started_at.set(JobRecord.first_started_at | now),
        JobRecord.lateness_seconds.set(JobRecord.lateness_seconds | lateness),
    ]

    def stands() -> bool:
        job.refresh(consistent_read=True)
        return job.fence == fence

    guard = (JobRecord.not_before <= now) & as_read
    # To take its own claim for another's would leave the job without a worker, and cost it an attempt.
    return _transition(job, Move.CLAIM, JobStatus.RUNNING, actions, guard, stands=stands)


def wait_again(
    job: JobRecord,
    *,
    not_before: datetime,
    lease_until: datetime,
    error: str | None,
    cost: dict[str, Any] | None = None,
) -> bool:
    """assigned or running -> waiting, for the next attempt.

    False when the run lost its lease, or a cancel or a new priority came since the job was read.
    """
    actions = [
        JobRecord.not_before.set(not_before),
        JobRecord.next_attempt_at.set(not_before),
        JobRecord.enqueued_at.set(not_before),
        JobRecord.rank.set(rank_of(not_before, int(job.priority))),
        JobRecord.ready_pool.set(minute_key(job.pool, not_before)),
        JobRecord.lease_until.set(lease_until),
        JobRecord.tokens_sent.set(1),
        set_or_remove(JobRecord.error, _shown(error)),
        *([] if cost is None else [JobRecord.cost.set(cost)]),
    ]
    # The rank above was computed from the priority as it was read.
    unchanged = JobRecord.cancel_requested_at.does_not_exist() & (JobRecord.priority == job.priority)
    return _transition(job, Move.RETRY, JobStatus.WAITING, actions, held_by_run(job) & unchanged)


def _end(job: JobRecord, move: Move, target: JobStatus, actions: list[Any], guard: Condition | None) -> bool:
    """`_transition` to an end. A record that has no room for its end loses what it was to do: every job can end.

    Only jobs made before there was a byte budget (`record_sizes.py`) can be so large.
    """
    try:
        return _transition(job, move, target, actions, guard)
    except RecordTooLarge:
        event(
            "a job's parameters and spec left its record: it had no room for its end", level="WARN", job_id=job.job_id
        )
        shed = [JobRecord.parameters.set({}), JobRecord.spec.set({}), JobRecord.description.set("")]
        return _transition(job, move, target, [*shed, *actions], guard)


# The keys of the indexes of open jobs, and what else only these have.
HELD = ("ready_pool", "lease_shard", "lease_until", "active_task", "next_attempt_at")


def _shown(error: str | None) -> str | None:
    return None if error is None else shortened(error, ERROR_BYTES)


def _ending(job: JobRecord, reason: Reason | None, error: str | None, now: datetime, target: JobStatus) -> list[Any]:
    # An open job has the facets of one that ended as usual.
    changed = [] if target == USUAL and reason is None else [JobRecord.facets.set(facets(job, target, reason))]
    return [
        *changed,
        JobRecord.ended_at.set(now),
        JobRecord.expires_at.set(retention.expires_at(job.kind, now)),
        set_or_remove(JobRecord.reason, reason),
        set_or_remove(JobRecord.error, _shown(error)),
        *([JobRecord.canceled_at.set(now)] if target == JobStatus.CANCELED else []),
        JobRecord.buffered.set(False),
        *[getattr(JobRecord, name).remove() for name in HELD],
    ]


def end_with_run(
    job: JobRecord, target: JobStatus, run: RunRecord, *, reason: Reason | None, error: str | None, now: datetime
) -> bool:
    """assigned or running -> ended, with what the ended run left; this write makes its files visible."""
    actions = _ending(job, reason, error, now, target)
    left = {name: getattr(run, name) for name in ("stopped_at", "rows", "bytes")}
    left["summary"] = None if run.summary is None else shortened(run.summary, SUMMARY_BYTES)
    left["files"] = run.files if target == JobStatus.SUCCEEDED else None
    left["cost"] = add_run(job.cost, run.cost)
    actions += [getattr(JobRecord, name).set(value) for name, value in left.items() if value is not None]
    return _end(job, Move.END_WITH_RUN, target, actions, held_by_run(job))


def end_without_run(
    job: JobRecord,
    target: JobStatus,
    *,
    reason: Reason,
    error: str | None,
    now: datetime,
    by: str | None = None,
    only_planned: bool = False,
    mark: str | None = None,
    started_at: datetime | None = None,
) -> bool:
    """waiting -> ended without a run. `only_planned`: not when it is due by now, or was let into its queue.

    `started_at`: of the last run, where the job shows none because it was to run again.
    """
    actions = _ending(job, reason, error, now, target)
    if started_at is not None:
        actions += [JobRecord.started_at.set(started_at), JobRecord.first_started_at.set(started_at)]
    if by is not None:
        actions += [
            JobRecord.cancel_requested_at.set(now),
            JobRecord.cancel_requested_by.set(by),
            JobRecord.cancel_by_policy.set(False),
            JobRecord.stopped_at.set(now),
        ]
    guard = (
        (JobRecord.not_before > now) & (JobRecord.admitted == False) & (JobRecord.run_no == 0)  # noqa: E712
        if only_planned
        else None
    )
    # The facets above are computed from these two, which a re-run changes.
    guard = as_listed(job) if guard is None else guard & as_listed(job)
    marking, guard = marked_once(job, mark, guard)
    return _end(job, Move.END_WITHOUT_RUN, target, [*actions, *marking], guard)


def end_unreadable(job_id: str, *, error: str, now: datetime) -> bool:
    """waiting -> failed for a job whose record this version cannot read; False when it does not wait."""
    actions = [
        JobRecord.reason.set(Reason.UNCLAIMABLE),
        JobRecord.error.set(shortened(error, ERROR_BYTES)),
        JobRecord.ended_at.set(now),
        JobRecord.expires_at.set(now + retention.longest_life()),
        JobRecord.buffered.set(False),
        JobRecord.facets.add({facet("reason", Reason.UNCLAIMABLE)}),
        *[getattr(JobRecord, name).remove() for name in HELD],
    ]
    try:
        return _transition(JobRecord(job_id), Move.END_WITHOUT_RUN, JobStatus.FAILED, actions)
    except (ValueError, TypeError, KeyError):
        # DynamoDB answers with the record as it was written, which cannot be read.
        return True


def rerun(job: JobRecord, *, by: str, now: datetime, lease_until: datetime, mark: str | None = None) -> bool:
    """ended -> waiting, by a person: the same frozen window and parameters, a new run, attempts counted anew.

    From here on lists show this person as operator and the trigger `rerun`. The files of an earlier run stay until
    another run publishes its own. It waits for its slot, where that is still to come.
    """
    due = max(now, job.scheduled_for)
    names = (
        "ended_at", "expires_at", "reason", "error", "canceled_at", "stopped_at", "cancel_requested_at",
        "cancel_requested_by", "cancel_by_policy", "started_at", "first_started_at", "lateness_seconds",
    )  # fmt: skip
    actions = [
        JobRecord.not_before.set(due),
        JobRecord.enqueued_at.set(due),
        JobRecord.rank.set(rank_of(due, int(job.priority))),
        JobRecord.ready_pool.set(ready_key(job.pool, due, now=now)),
        JobRecord.admitted.set(True),
        JobRecord.active_task.set(job.task_id),
        JobRecord.lease_shard.set(lease_shard(job.job_id)),
        JobRecord.lease_until.set(lease_until),
        JobRecord.attempts_spent.set(0),
        JobRecord.tokens_sent.set(1),
        JobRecord.trigger.set(Trigger.RERUN),
        JobRecord.operator.set(by),
        set_or_remove(JobRecord.correlation_id, log.correlation_id()),
        JobRecord.facets.set(facets(job, JobStatus.WAITING, None, trigger=Trigger.RERUN, operator=by)),
        *[getattr(JobRecord, name).remove() for name in names],
    ]
    as_read = (JobRecord.run_no == job.run_no) & (JobRecord.priority == job.priority)
    marking, guard = marked_once(job, mark, as_read & JobRecord.deleted_at.does_not_exist())
    return _transition(job, Move.RERUN, JobStatus.WAITING, [*actions, *marking], guard)
