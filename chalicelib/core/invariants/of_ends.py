"""What is true of a job's end: its instants, its reason, its cancel, and that nothing of it is left elsewhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from chalicelib.core.facets import EQUALITIES, facets_of
from chalicelib.core.invariants.facts import Facts, Invariant, Mend, is_going
from chalicelib.core.lifecycle import ENDED, OPEN, JobStatus, Reason, RunStatus

# The clocks of two functions may differ by this much.
SKEW = timedelta(seconds=5)
# The columns that only a job that is looked after, or stands in a line, has.
HELD = ("lease_shard", "lease_until", "active_task", "ready_pool", "next_attempt_at")
# The columns that only an ended job has.
OF_THE_END = ("ended_at", "expires_at", "reason", "canceled_at", "stopped_at")


def _let_go(facts: Facts) -> bool:
    job = facts.job
    held = [name for name in HELD if not (is_going(facts) and name.startswith("lease_"))]
    return job.status in OPEN or not (job.buffered or any(getattr(job, name) for name in held))


def _drop_holds(facts: Facts) -> Mend:
    kept = ("lease_shard", "lease_until") if is_going(facts) else ()
    return Mend({**{name: None for name in HELD if name not in kept}, "buffered": False})


def _recorded_end(facts: Facts) -> bool:
    return facts.job.status in OPEN or (facts.job.ended_at is not None and facts.job.expires_at is not None)


def _record_end(facts: Facts) -> Mend:
    last = facts.last
    ended = facts.job.ended_at or (last.ended_at if last is not None else None) or facts.now
    return Mend({"ended_at": ended, "expires_at": facts.job.expires_at or facts.expires_at})


def _has_reason(facts: Facts) -> bool:
    job = facts.job
    return job.status in OPEN or bool((job.reason is None) == (job.status == JobStatus.SUCCEEDED))


def _give_reason(facts: Facts) -> Mend | None:
    job, last = facts.job, facts.last
    if job.status == JobStatus.SUCCEEDED:
        return Mend({"reason": None})
    known = {JobStatus.MISSED: Reason.MISFIRE}.get(job.status)
    if known is None and job.attempts_spent and last is not None and last.status != RunStatus.SUCCEEDED:
        known = last.reason
    return None if known is None else Mend({"reason": known})


def _cancel_times(job: Any) -> list[datetime]:
    times = (job.cancel_requested_at, job.stopped_at, job.canceled_at)
    return [at for at in times if at is not None]


def _in_order(facts: Facts) -> bool:
    times = _cancel_times(facts.job)
    return all(later >= earlier - SKEW for earlier, later in pairwise(times))


def _order(facts: Facts) -> Mend:
    job, times, latest = facts.job, {}, None
    for name in ("cancel_requested_at", "stopped_at", "canceled_at"):
        at = getattr(job, name)
        if at is not None:
            latest = at if latest is None else max(at, latest)
            times[name] = latest
    return Mend(times)


def _facets(job: Any) -> set[str]:
    return facets_of({name: getattr(job, name) for name in EQUALITIES}, job.status)


# The facets come behind the reason, of which they are made.
OF_AN_END: tuple[Invariant, ...] = (
    Invariant(
        "open_is_not_ended",
        "An open job has nothing of an end: no instant, no reason, no expiry.",
        lambda f: f.job.status in ENDED or not any(getattr(f.job, name) for name in OF_THE_END),
        lambda f: Mend(dict.fromkeys(OF_THE_END)),
    ),
    Invariant(
        "ended_is_let_go",
        "An ended job stands in no line, in no index of open jobs, and has no attempt to come.",
        _let_go,
        _drop_holds,
    ),
    Invariant(
        "ended_says_when",
        "An ended job says when it ended and when its record expires.",
        _recorded_end,
        _record_end,
    ),
    Invariant(
        "an_end_has_its_reason",
        "An ended job has a reason, unless it succeeded.",
        _has_reason,
        _give_reason,
    ),
    Invariant(
        "facets_of_its_columns",
        "The facets are what the columns and the status give.",
        lambda f: set(f.job.facets or ()) == _facets(f.job),
        lambda f: Mend({"facets": _facets(f.job)}),
    ),
    Invariant(
        "canceled_says_when",
        "A job has an instant of cancelling when, and only when, it is canceled.",
        lambda f: (f.job.canceled_at is not None) == (f.job.status == JobStatus.CANCELED),
        lambda f: Mend({"canceled_at": (f.job.ended_at or f.now) if f.job.status == JobStatus.CANCELED else None}),
    ),
    Invariant(
        "a_cancel_has_its_order",
        "A cancel is requested, stops the work, and is confirmed: in this order, give or take the clocks' difference.",
        _in_order,
        _order,
    ),
    Invariant(
        "a_request_has_its_asker",
        "Who asked for a cancel and when are there together.",
        lambda f: (f.job.cancel_requested_at is None) == (f.job.cancel_requested_by is None),
        lambda f: Mend({"cancel_requested_by": None if f.job.cancel_requested_at is None else "unknown"}),
    ),
    Invariant(
        "a_cancel_is_not_waited_out",
        "No job waits that somebody asked to cancel.",
        lambda f: f.job.status != JobStatus.WAITING or f.job.cancel_requested_at is None,
        lambda f: Mend(cancel=True),
    ),
)
