"""Invariants of a job by itself: its id, its queue, its lease and its attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from chalicelib.core.facets import folded
from chalicelib.core.ids import job_id_of_slot, timeline_bucket
from chalicelib.core.invariants.facts import Facts, Invariant, Repair, is_being_deleted
from chalicelib.core.lifecycle import ACTIVE, ENDED, OPEN, JobStatus, Trigger
from chalicelib.core.queue_keys import limit_of_key, minute_key
from chalicelib.core.rank import PRIORITY_MAX, PRIORITY_MIN, rank
from chalicelib.core.retry import Retry

# No lease lasts longer, from now or from the job's time: that of a token lasts an hour, that of a worker a minute, and
# 15 minutes in records of before.
LONGEST_LEASE = timedelta(hours=2)


def _priority(job: Any) -> int:
    return int(min(max(job.priority, PRIORITY_MIN), PRIORITY_MAX))


def _rank(job: Any) -> int:
    return rank(job.enqueued_at, _priority(job))


def _is_slot(facts: Facts) -> bool:
    job = facts.job
    return bool(job.trigger != Trigger.SCHEDULE or job.job_id == job_id_of_slot(job.task_id, job.scheduled_for))


def _has_window(facts: Facts) -> bool:
    start, end = facts.job.window_start, facts.job.window_end
    return (start is None) == (end is None) and (start is None or start <= end)


def _has_lease(facts: Facts) -> bool:
    job = facts.job
    wanted = job.status in OPEN or is_being_deleted(facts)
    return not wanted or (job.lease_shard == facts.lease_shard and job.lease_until is not None)


def _lease_is_bounded(facts: Facts) -> bool:
    job = facts.job
    return job.lease_until is None or job.lease_until <= max(facts.now, job.not_before) + LONGEST_LEASE


def _queue_is_its_own(facts: Facts) -> bool:
    job, queue = facts.job, facts.job.ready_pool
    if job.status != JobStatus.WAITING:
        return queue is None
    if queue is None or job.buffered:
        # Not admitted yet, or buffered by the overlap policy.
        return queue is None
    parked = limit_of_key(queue)
    if parked is not None:
        return parked in (f"task:{job.task_id}", f"source:{job.source_id}")
    return queue in (job.pool, minute_key(job.pool, job.not_before))


def _leave_queue(facts: Facts) -> Repair:
    # `sweep` puts a waiting job back into its queue when it finds that the lease has expired.
    columns: dict[str, Any] = {"ready_pool": None}
    if facts.job.status == JobStatus.WAITING and not facts.job.buffered:
        columns |= {"admitted": False, "lease_shard": facts.lease_shard, "lease_until": facts.now}
    return Repair(columns)


def _next_attempt_has_time(facts: Facts) -> bool:
    job = facts.job
    between_attempts = job.status == JobStatus.WAITING and job.attempts_spent > 0
    return bool(job.next_attempt_at == (job.not_before if between_attempts else None))


def _attempts_bounds(job: Any) -> tuple[int, int]:
    most = Retry.accept(job.retry).max_attempts
    return (1 if job.status in ACTIVE else 0), min(int(job.run_no), most)


def _attempts_within_bounds(facts: Facts) -> bool:
    low, high = _attempts_bounds(facts.job)
    return low <= int(facts.job.attempts_spent) <= high


def _bound_attempts(facts: Facts) -> Repair | None:
    low, high = _attempts_bounds(facts.job)
    return Repair({"attempts_spent": max(low, min(high, int(facts.job.attempts_spent)))}) if low <= high else None


def _has_run(facts: Facts) -> bool:
    job = facts.job
    return job.status not in ACTIVE or bool(job.run_no and job.fence and job.worker)


JOB_INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "job_id_matches_slot",
        "The id of a scheduled job is derived from its task and its slot.",
        _is_slot,
    ),
    Invariant(
        "month_matches_job_id",
        "A job is in the timeline under the month of its id, or under `early` when it was made long after that.",
        lambda f: str(f.job.month).partition("~")[0] == timeline_bucket(f.job.job_id, f.job.created_at),
        lambda f: Repair({"month": timeline_bucket(f.job.job_id, f.job.created_at)}),
    ),
    Invariant(
        "window_has_both_ends",
        "A window has a start and an end, in this order, or the job has no window.",
        _has_window,
    ),
    Invariant(
        "search_name_matches_task_name",
        "The name for searches is the task's name without case.",
        lambda f: f.job.search_name == folded(f.job.task_name),
        lambda f: Repair({"search_name": folded(f.job.task_name)}),
    ),
    Invariant(
        "priority_in_range",
        "A priority is from 0 to 5000.",
        lambda f: f.job.priority == _priority(f.job),
        lambda f: Repair({"priority": _priority(f.job)}),
    ),
    Invariant(
        "rank_matches_priority",
        "The rank is the one that the time of entry and the priority give.",
        lambda f: f.job.rank == _rank(f.job),
        lambda f: Repair({"rank": _rank(f.job)}),
    ),
    Invariant(
        "open_job_has_lease",
        "An open job, and one that is being deleted, is in the index of leases.",
        _has_lease,
        lambda f: Repair({"lease_shard": f.lease_shard, "lease_until": f.job.lease_until or f.now}),
    ),
    Invariant(
        "lease_is_bounded",
        "A lease ends at most two hours after now, or after the job's time when that is later.",
        _lease_is_bounded,
        lambda f: Repair({"lease_until": f.now}),
    ),
    Invariant(
        "open_job_is_in_task_index",
        "An open job is in the index of its task's open jobs.",
        lambda f: f.job.status in ENDED or f.job.active_task == f.job.task_id,
        lambda f: Repair({"active_task": f.job.task_id}),
    ),
    Invariant(
        "only_waiting_jobs_are_queued",
        "Only a waiting job is in a queue: that of its pool, of its minute, or of one of its limits.",
        _queue_is_its_own,
        _leave_queue,
    ),
    Invariant(
        "only_waiting_jobs_are_buffered",
        "Only a waiting job is buffered by the overlap policy.",
        lambda f: not f.job.buffered or f.job.status == JobStatus.WAITING,
        lambda f: Repair({"buffered": False}),
    ),
    Invariant(
        "next_attempt_has_time",
        "A job between attempts has the time of the next one, when it may be claimed. No other job has it.",
        _next_attempt_has_time,
        lambda f: Repair(
            {"next_attempt_at": f.job.not_before if f.job.status == "waiting" and f.job.attempts_spent else None}
        ),
    ),
    Invariant(
        "active_job_has_run",
        "An active job has a run, a fencing token and a worker.",
        _has_run,
    ),
    Invariant(
        "attempts_are_within_bounds",
        "The attempts since the last re-run are not more than the runs, nor than the retry policy allows.",
        _attempts_within_bounds,
        _bound_attempts,
    ),
    Invariant(
        "running_job_has_start",
        "A running job has the time of its start and of its first start.",
        lambda f: f.job.status != "running" or (f.job.started_at is not None and f.job.first_started_at is not None),
        lambda f: Repair(
            {name: getattr(f.job, name) or f.job.started_at or f.now for name in ("started_at", "first_started_at")}
        ),
    ),
)
