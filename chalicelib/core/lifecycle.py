"""The statuses of a job and of a run, and the one table of moves between them.

`store/` turns TRANSITIONS into the conditions of its writes, so no code can make a move that is not listed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from chalicelib.errors import PRECONDITION_REASON


class JobStatus(StrEnum):
    WAITING = "waiting"  # in its pool, also between attempts; created by tick, fire or a person; a worker claims it
    ASSIGNED = "assigned"  # a worker holds the lease; the run is not started: left by versions that started it apart
    RUNNING = "running"  # a worker claimed it, holds the lease and executes its kind
    SUCCEEDED = "succeeded"  # done, files published
    FAILED = "failed"  # attempts spent, or an error not worth retrying
    TIMED_OUT = "timed_out"  # one of the three clocks ran out
    BLOCKED = "blocked"  # a precondition is missing, the work was not started
    CANCELED = "canceled"  # stopped on request or by policy
    SKIPPED = "skipped"  # the slot was not run, by policy
    MISSED = "missed"  # tick reached the slot too late, and the misfire policy does not run it later


class RunStatus(StrEnum):
    CREATED = "created"  # claimed, and executes nothing yet: left by versions that started it apart
    RUNNING = "running"  # executing
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


# Why a job or a run ended as it did. A kind of task may bring reasons of its own for a precondition that is missing:
# `Reason("no_robot")` is one without being listed here, so a record reads also when its kind is gone.
class Reason(StrEnum):
    ERROR = "error"  # the kind failed with an error it knows
    UNKNOWN_ERROR = "unknown_error"  # the kind failed with an unexpected error
    WORKER_LOST = "worker_lost"  # the lease ran out and no process had written an end
    QUEUE_WAIT = "queue_wait"  # waited longer than queue_wait_limit_seconds
    STATEMENT = "statement"  # one statement ran longer than statement_timeout_seconds
    DEADLINE = "deadline"  # the job, retries included, took longer than deadline_seconds
    NO_SOURCE = "no_source"
    NO_REPORT = "no_report"
    NO_ACCOUNT = "no_account"
    NO_PROXY = "no_proxy"
    BY_USER = "by_user"
    BY_POLICY = "by_policy"
    OVERLAP = "overlap"
    EMPTY_WINDOW = "empty_window"
    NON_BUSINESS_DAY = "non_business_day"
    MISFIRE = "misfire"
    UNCLAIMABLE = "unclaimable"  # three claims failed for the job's own sake, as for a record that cannot grow

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str) or not PRECONDITION_REASON.fullmatch(value):
            return None
        reason = str.__new__(cls, value)
        reason._name_, reason._value_ = value.upper(), value
        # Reading the same text twice gives the same object, as with every member; iteration leaves it out.
        return cls._value2member_map_.setdefault(value, reason)  # type: ignore[return-value]

    @property
    def is_precondition(self) -> bool:
        """Whether nothing was tried because something that the job needs does not exist."""
        return PRECONDITION_REASON.fullmatch(self) is not None


class Trigger(StrEnum):
    """Who asked for a job."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    RERUN = "rerun"
    BACKFILL = "backfill"
    EVENT = "event"
    API = "api"


# The `trigger` of a task that has its own EventBridge rule. `tick` plans all other tasks.
EVENTBRIDGE = "eventbridge"


class Move(StrEnum):
    """Why a job changes its status."""

    CLAIM = "claim"
    RETRY = "retry"
    END_WITH_RUN = "end_with_run"
    END_WITHOUT_RUN = "end_without_run"  # ended without a run: policy, queue wait, cancel while waiting
    RERUN = "rerun"
    REPLAN = "replan"  # the task was edited after a slot was planned, and plans the same slot again


ACTIVE = frozenset({JobStatus.ASSIGNED, JobStatus.RUNNING})
OPEN = ACTIVE | {JobStatus.WAITING}
ENDED = frozenset(JobStatus) - OPEN
RUN_OPEN = frozenset({RunStatus.CREATED, RunStatus.RUNNING})
RUN_ENDED = frozenset(RunStatus) - RUN_OPEN

_J = JobStatus
TRANSITIONS: dict[Move, tuple[frozenset[JobStatus], frozenset[JobStatus]]] = {
    Move.CLAIM: (frozenset({_J.WAITING}), frozenset({_J.RUNNING})),
    Move.RETRY: (ACTIVE, frozenset({_J.WAITING})),
    Move.END_WITH_RUN: (ACTIVE, frozenset({_J.SUCCEEDED, _J.FAILED, _J.TIMED_OUT, _J.BLOCKED, _J.CANCELED})),
    Move.END_WITHOUT_RUN: (
        frozenset({_J.WAITING}),
        frozenset({_J.SKIPPED, _J.MISSED, _J.BLOCKED, _J.CANCELED, _J.TIMED_OUT, _J.FAILED}),
    ),
    Move.RERUN: (ENDED, frozenset({_J.WAITING})),
    Move.REPLAN: (frozenset({_J.WAITING, _J.CANCELED, _J.SKIPPED}), frozenset({_J.WAITING, _J.SKIPPED})),
}


def cancel_reason(requested_by: str | None, by_policy: bool | None) -> Reason:
    """Why a job was canceled. `requested_by` names the actor who asked; in older records, which do not say whether it
    was `by_policy`, it may be that word instead of a name.
    """
    if by_policy is None:
        by_policy = requested_by == Reason.BY_POLICY
    return Reason.BY_POLICY if by_policy else Reason.BY_USER


def sources_of(move: Move, target: JobStatus) -> frozenset[JobStatus]:
    """The statuses from which this move leads to `target`; `ValueError` when it never does."""
    before, after = TRANSITIONS[move]
    if target not in after:
        raise ValueError(f"{move} never leads to {target}")
    return before
