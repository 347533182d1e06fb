"""Invariants of a job's end: its instants, its reason, its cancel, and that it holds nothing any more."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from chalicelib.core.facets import EQUALITIES, OUTCOME, USUAL, facet, facets_of
from chalicelib.core.invariants.facts import Facts, Invariant, Repair, is_being_deleted
from chalicelib.core.lifecycle import ENDED, OPEN, JobStatus, Reason, RunStatus

# The clocks of two functions may differ by this much.
SKEW = timedelta(seconds=5)
# The columns of the sparse indexes: only an open job, or one that is being deleted, has them.
HELD = ("lease_shard", "lease_until", "active_task", "ready_pool", "next_attempt_at")
# The columns that only an ended job has.
END_COLUMNS = ("ended_at", "expires_at", "reason", "canceled_at", "stopped_at")


def _holds_nothing(facts: Facts) -> bool:
    job = facts.job
    held = [name for name in HELD if not (is_being_deleted(facts) and name.startswith("lease_"))]
    return job.status in OPEN or not (job.buffered or any(getattr(job, name) for name in held))


def _release_all(facts: Facts) -> Repair:
    kept = ("lease_shard", "lease_until") if is_being_deleted(facts) else ()
    return Repair({**{name: None for name in HELD if name not in kept}, "buffered": False})


def _has_end_times(facts: Facts) -> bool:
    return facts.job.status in OPEN or (facts.job.ended_at is not None and facts.job.expires_at is not None)


def _fill_end_times(facts: Facts) -> Repair:
    last = facts.last
    ended = facts.job.ended_at or (last.ended_at if last is not None else None) or facts.now
    return Repair({"ended_at": ended, "expires_at": facts.job.expires_at or facts.expires_at})


def _has_reason(facts: Facts) -> bool:
    job = facts.job
    return job.status in OPEN or bool((job.reason is None) == (job.status == JobStatus.SUCCEEDED))


def _fill_reason(facts: Facts) -> Repair | None:
    job, last = facts.job, facts.last
    if job.status == JobStatus.SUCCEEDED:
        return Repair({"reason": None})
    known = {JobStatus.MISSED: Reason.MISFIRE}.get(job.status)
    if known is None and job.attempts_spent and last is not None and last.status != RunStatus.SUCCEEDED:
        known = last.reason
    return None if known is None else Repair({"reason": known})


def _cancel_times(job: Any) -> list[datetime]:
    times = (job.cancel_requested_at, job.stopped_at, job.canceled_at)
    return [at for at in times if at is not None]


def _cancel_in_order(facts: Facts) -> bool:
    times = _cancel_times(facts.job)
    return all(later >= earlier - SKEW for earlier, later in pairwise(times))


def _sort_cancel_times(facts: Facts) -> Repair:
    job, times, latest = facts.job, {}, None
    for name in ("cancel_requested_at", "stopped_at", "canceled_at"):
        at = getattr(job, name)
        if at is not None:
            latest = at if latest is None else max(at, latest)
            times[name] = latest
    return Repair(times)


def _facets(job: Any) -> set[str]:
    return facets_of({name: getattr(job, name) for name in EQUALITIES}, job.status)


# A facet that earlier versions wrote, and that nothing reads.
_WRITTEN_BEFORE = frozenset({facet(OUTCOME, USUAL)})


# The facets come after the reason, because they contain it.
END_INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "open_job_has_no_end",
        "An open job has no time of its end, no reason and no expiry.",
        lambda f: f.job.status in ENDED or not any(getattr(f.job, name) for name in END_COLUMNS),
        lambda f: Repair(dict.fromkeys(END_COLUMNS)),
    ),
    Invariant(
        "ended_job_holds_nothing",
        "An ended job is in no queue and in no index of open jobs, and has no next attempt.",
        _holds_nothing,
        _release_all,
    ),
    Invariant(
        "ended_job_has_times",
        "An ended job has the time of its end and the expiry of its record.",
        _has_end_times,
        _fill_end_times,
    ),
    Invariant(
        "ended_job_has_reason",
        "An ended job has a reason, unless it succeeded.",
        _has_reason,
        _fill_reason,
    ),
    Invariant(
        "facets_match_columns",
        "The facets are those that the columns and the status give.",
        lambda f: set(f.job.facets or ()) - _WRITTEN_BEFORE == _facets(f.job),
        lambda f: Repair({"facets": _facets(f.job)}),
    ),
    Invariant(
        "only_canceled_jobs_have_cancel_time",
        "A canceled job has the time it was canceled, and no other job has one.",
        lambda f: (f.job.canceled_at is not None) == (f.job.status == JobStatus.CANCELED),
        lambda f: Repair({"canceled_at": (f.job.ended_at or f.now) if f.job.status == JobStatus.CANCELED else None}),
    ),
    Invariant(
        "cancel_times_are_in_order",
        "A cancel is requested, stops the work and is confirmed, in this order, up to the difference of two clocks.",
        _cancel_in_order,
        _sort_cancel_times,
    ),
    Invariant(
        "cancel_request_has_requester",
        "A requested cancel has both its time and its requester.",
        lambda f: (f.job.cancel_requested_at is None) == (f.job.cancel_requested_by is None),
        lambda f: Repair({"cancel_requested_by": None if f.job.cancel_requested_at is None else "unknown"}),
    ),
    Invariant(
        "waiting_job_has_no_cancel_request",
        "A waiting job has no requested cancel: it is canceled at once.",
        lambda f: f.job.status != JobStatus.WAITING or f.job.cancel_requested_at is None,
        lambda f: Repair(cancel=True),
    ),
)
