"""What people may do to a job: cancel it, run it again, move it in the line, delete it; one by one or in a batch.

Each is one conditional write, and then its entry in the audit. A request with an Idempotency-Key, and a batch, leave
their mark on the job in that very write: when the process died before the entry, the repeat finds the mark, changes
nothing and adds what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from chalicelib import retention
from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.core.lifecycle import ACTIVE, ENDED, OPEN, JobStatus, Reason
from chalicelib.errors import WrongState
from chalicelib.jobs import deletion
from chalicelib.logs import end_line
from chalicelib.queue import completion, leases
from chalicelib.store import job_transitions, job_updates
from chalicelib.store import jobs as store
from chalicelib.store import runs as run_store
from chalicelib.store.job_record import JobRecord

# An action may lose a race against the worker; after so many it is told as it is.
TRIES = 5


class Action(StrEnum):
    CANCEL = "cancel"
    RERUN = "rerun"
    SET_PRIORITY = "set_priority"
    DELETE = "delete"


# Which jobs an action takes, and what it says of the others.
ACCEPTS: dict[Action, tuple[frozenset[JobStatus], str]] = {
    Action.CANCEL: (OPEN, "has ended: it is {status}."),
    Action.RERUN: (ENDED, "is {status}; only an ended job can be run again."),
    Action.SET_PRIORITY: (OPEN, "has ended: it is {status}."),
    Action.DELETE: (ENDED, "is {status}; only an ended job can be deleted."),
}


# What its audit shows, from what to what.
AUDITED: dict[Action, tuple[str, ...]] = {
    Action.CANCEL: ("status", "cancel_requested_at"),
    Action.RERUN: ("status",),
    Action.SET_PRIORITY: ("priority",),
}


def refusal(action: Action, status: JobStatus) -> str | None:
    """Why a job of this status is not taken, to be put behind its name; None when it is."""
    taken, why = ACCEPTS[action]
    return None if status in taken else why.format(status=status.value)


@dataclass(frozen=True)
class ActionRequest:
    """Who asked for what, and when."""

    actor: Actor
    action: Action
    # The audit's instant. The same for every repeat, as its entries' ids are made of it.
    at: datetime
    priority: int | None = None
    # What a repeat is known by on the job; without one it is a new asking.
    mark: str | None = None
    # One of many: the caller sees to what follows from all of them together.
    batch_id: str | None = None


def cancel(job_id: str, *, actor: Actor, now: datetime, mark: str | None = None) -> JobRecord:
    """End a waiting job at once; ask an active one's worker to stop. Asking twice is no error; an ended job is one."""
    return act(job_id, ActionRequest(actor, Action.CANCEL, now, mark=mark), now=now)


def rerun(job_id: str, *, actor: Actor, now: datetime, mark: str | None = None) -> JobRecord:
    """Put an ended job into the line again, with the same window and parameters."""
    job = act(job_id, ActionRequest(actor, Action.RERUN, now, mark=mark), now=now)
    leases.send_token(job, now=now)
    return job


def set_priority(job_id: str, priority: int, *, actor: Actor, now: datetime) -> JobRecord:
    """Effective at the next claim."""
    return act(job_id, ActionRequest(actor, Action.SET_PRIORITY, now, priority=priority), now=now)


def delete(job_id: str, *, actor: Actor, now: datetime) -> None:
    """Remove an ended job's record, its runs, its files and its logs."""
    act(job_id, ActionRequest(actor, Action.DELETE, now), now=now)


def act(
    job_id: str,
    asked: ActionRequest,
    *,
    now: datetime,
    read: JobRecord | None = None,
    before: Mapping[str, Any] | None = None,
) -> JobRecord:
    """Do it to one job, or raise WrongState.

    `read` is the job where it was just read; `before` what the audit of a repeat shows as it was before.
    """
    for _ in range(TRIES):
        job, read = read or store.get(job_id), None
        if job.deleted_at is not None:
            if asked.action is not Action.DELETE:
                raise WrongState(f"Job {job_id} is being deleted.")
            deletion.complete(job)
            return job
        shown: Mapping[str, Any] = before or {}
        if not is_marked(job, asked.mark):
            shown = audit.snapshot(job)
            refused = refusal(asked.action, job.status)
            if refused is not None:
                raise WrongState(f"Job {job_id} {refused}")
            if not WRITES[asked.action](job, asked, now):
                continue
        if asked.action is Action.DELETE:
            deletion.complete(job, shown=shown)
        else:
            _record_audit(job, asked, before=shown)
        return job
    raise WrongState(f"Job {job_id} changes too fast; try again.")


def is_marked(job: JobRecord, mark: str | None) -> bool:
    """Whether this request or batch has acted on the job before."""
    return mark is not None and mark in (job.acts or ())


def _record_audit(job: JobRecord, asked: ActionRequest, *, before: Mapping[str, Any]) -> None:
    columns = AUDITED[asked.action]
    after = audit.snapshot(job)
    old, new = ({name: each.get(name) for name in columns} for each in (before, after))
    if asked.batch_id is not None:
        new["batch"] = asked.batch_id
    audit.record(asked.actor, asked.action, "job", job.job_id, before=old, after=new, now=asked.at)


# --- the writes: False when somebody was quicker ----------------------------------------------------------------------


def _cancel(job: JobRecord, asked: ActionRequest, now: datetime) -> bool:
    by = asked.actor.name
    if job.status in ACTIVE:
        return job_updates.request_cancel(job, by=by, now=now, mark=asked.mark)
    return completion.end_without_run(
        job,
        JobStatus.CANCELED,
        Reason.BY_USER,
        f"Cancelled by {by} while waiting.",
        now=now,
        by=by,
        mark=asked.mark,
        one_of_many=asked.batch_id is not None,
    )


def _rerun(job: JobRecord, asked: ActionRequest, now: datetime) -> bool:
    # The runs of an open job have no end of their own; whoever ends the job gives them one.
    run_store.keep(job.job_id, range(1, int(job.run_no) + 1), until=retention.while_open(now))
    # The update below clears why the job had ended.
    end_line.write(job, now=now)
    return job_transitions.rerun(
        job, by=asked.actor.name, now=now, lease_until=leases.token_lease(now, now=now), mark=asked.mark
    )


def _set_priority(job: JobRecord, asked: ActionRequest, now: datetime) -> bool:
    assert asked.priority is not None
    return job_updates.set_priority(job, asked.priority, mark=asked.mark)


def _delete(job: JobRecord, asked: ActionRequest, now: datetime) -> bool:
    return deletion.begin(job, actor=asked.actor, at=asked.at, now=now, mark=asked.mark, batch_id=asked.batch_id)


WRITES: dict[Action, Callable[[JobRecord, ActionRequest, datetime], bool]] = {
    Action.CANCEL: _cancel,
    Action.RERUN: _rerun,
    Action.SET_PRIORITY: _set_priority,
    Action.DELETE: _delete,
}
