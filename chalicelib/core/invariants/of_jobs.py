"""What is true of a job by itself: of its id, its place in the line, its lease and its attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from chalicelib.core.facets import folded
from chalicelib.core.ids import job_id_of_slot, month_bucket
from chalicelib.core.invariants.facts import Facts, Invariant, Mend, is_going
from chalicelib.core.lifecycle import ACTIVE, ENDED, OPEN, JobStatus, Trigger
from chalicelib.core.queue_keys import limit_of_key, minute_key
from chalicelib.core.rank import PRIORITY_MAX, PRIORITY_MIN, rank
from chalicelib.core.retry import Retry

# No lease reaches further beyond now, or beyond the job's time: promises last an hour, a worker a quarter of one.
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


def _looked_after(facts: Facts) -> bool:
    job = facts.job
    wanted = job.status in OPEN or is_going(facts)
    return not wanted or (job.lease_shard == facts.lease_shard and job.lease_until is not None)


def _in_reach(facts: Facts) -> bool:
    job = facts.job
    return job.lease_until is None or job.lease_until <= max(facts.now, job.not_before) + LONGEST_LEASE


def _has_line(facts: Facts) -> bool:
    job, line = facts.job, facts.job.ready_pool
    if job.status != JobStatus.WAITING:
        return line is None
    if line is None or job.buffered:
        # Not let in yet, or held back by the overlap policy.
        return line is None
    parked = limit_of_key(line)
    if parked is not None:
        return parked in (f"task:{job.task_id}", f"source:{job.source_id}")
    return line in (job.pool, minute_key(job.pool, job.not_before))


def _leave_line(facts: Facts) -> Mend:
    # A waiting job comes back into its line by the sweep that finds its lease over.
    gone: dict[str, Any] = {"ready_pool": None}
    if facts.job.status == JobStatus.WAITING and not facts.job.buffered:
        gone |= {"admitted": False, "lease_shard": facts.lease_shard, "lease_until": facts.now}
    return Mend(gone)


def _attempt_to_come(facts: Facts) -> bool:
    job = facts.job
    between = job.status == JobStatus.WAITING and job.attempts_spent > 0
    return bool(job.next_attempt_at == (job.not_before if between else None))


def _attempts_bounds(job: Any) -> tuple[int, int]:
    most = Retry.accept(job.retry).max_attempts
    return (1 if job.status in ACTIVE else 0), min(int(job.run_no), most)


def _attempts_counted(facts: Facts) -> bool:
    low, high = _attempts_bounds(facts.job)
    return low <= int(facts.job.attempts_spent) <= high


def _count_attempts(facts: Facts) -> Mend | None:
    low, high = _attempts_bounds(facts.job)
    return Mend({"attempts_spent": max(low, min(high, int(facts.job.attempts_spent)))}) if low <= high else None


def _held(facts: Facts) -> bool:
    job = facts.job
    return job.status not in ACTIVE or bool(job.run_no and job.fence and job.worker)


OF_A_JOB: tuple[Invariant, ...] = (
    Invariant(
        "slot_of_its_id",
        "The id of a job of a schedule is made of its task and its slot.",
        _is_slot,
    ),
    Invariant(
        "month_of_its_id",
        "A job stands in the timeline under the month of its id.",
        lambda f: f.job.month == month_bucket(f.job.job_id),
        lambda f: Mend({"month": month_bucket(f.job.job_id)}),
    ),
    Invariant(
        "a_window_has_two_ends",
        "A window has a start and an end, in this order, or is not there.",
        _has_window,
    ),
    Invariant(
        "name_to_search",
        "What a search looks at is the task's name, folded.",
        lambda f: f.job.search_name == folded(f.job.task_name),
        lambda f: Mend({"search_name": folded(f.job.task_name)}),
    ),
    Invariant(
        "priority_in_range",
        "A priority is from 0 to 5000.",
        lambda f: f.job.priority == _priority(f.job),
        lambda f: Mend({"priority": _priority(f.job)}),
    ),
    Invariant(
        "rank_of_its_place",
        "The rank is what the time of entry and the priority give.",
        lambda f: f.job.rank == _rank(f.job),
        lambda f: Mend({"rank": _rank(f.job)}),
    ),
    Invariant(
        "open_is_looked_after",
        "An open job, and one that is being deleted, stands in the index of leases.",
        _looked_after,
        lambda f: Mend({"lease_shard": f.lease_shard, "lease_until": f.job.lease_until or f.now}),
    ),
    Invariant(
        "leases_end",
        "No lease reaches more than two hours beyond now and the job's time.",
        _in_reach,
        lambda f: Mend({"lease_until": f.now}),
    ),
    Invariant(
        "open_counts_for_its_task",
        "An open job stands in the index of its task's open jobs.",
        lambda f: f.job.status in ENDED or f.job.active_task == f.job.task_id,
        lambda f: Mend({"active_task": f.job.task_id}),
    ),
    Invariant(
        "a_waiting_job_has_its_line",
        "A job stands in a line only while it waits: its pool's, its minute's, or that of one of its limits.",
        _has_line,
        _leave_line,
    ),
    Invariant(
        "held_back_is_waiting",
        "Only a waiting job is held back by the overlap policy.",
        lambda f: not f.job.buffered or f.job.status == JobStatus.WAITING,
        lambda f: Mend({"buffered": False}),
    ),
    Invariant(
        "an_attempt_to_come_has_its_time",
        "A job between attempts says when the next one comes: when it may be claimed. No other job says so.",
        _attempt_to_come,
        lambda f: Mend(
            {"next_attempt_at": f.job.not_before if f.job.status == "waiting" and f.job.attempts_spent else None}
        ),
    ),
    Invariant(
        "held_by_a_run",
        "An active job has a run, its fence and its worker.",
        _held,
    ),
    Invariant(
        "attempts_are_counted",
        "The attempts since the last re-run are no more than the runs and than the policy allows.",
        _attempts_counted,
        _count_attempts,
    ),
    Invariant(
        "running_says_since_when",
        "A running job says when it started, and when it did for the first time.",
        lambda f: f.job.status != "running" or (f.job.started_at is not None and f.job.first_started_at is not None),
        lambda f: Mend(
            {name: getattr(f.job, name) or f.job.started_at or f.now for name in ("started_at", "first_started_at")}
        ),
    ),
)
