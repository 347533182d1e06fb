"""What people do to jobs: cancel, re-run, change the priority, delete; one job at a time or in a batch.

Each action is one conditional write to the job, and then an entry in the audit. A request with an Idempotency-Key and a
batch leave a mark on the job in that same write. When the process dies before the audit entry, the repeat finds the
mark: it writes nothing to the job and adds the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from chalicelib import retention
from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.core.ids import ulid
from chalicelib.core.instants import rfc3339
from chalicelib.core.lifecycle import ACTIVE, ENDED, OPEN, JobStatus, Reason, Trigger
from chalicelib.errors import WrongState
from chalicelib.jobs import deletion
from chalicelib.logs import end_line
from chalicelib.queue import completion, leases
from chalicelib.store import job_transitions, job_updates, tasks
from chalicelib.store import jobs as store
from chalicelib.store import runs as run_store
from chalicelib.store.job_record import JobRecord

# A worker may change the job between the read and the write of an action. After this many tries the caller gets a 409.
TRIES = 5
# A `tick` that died between two writes left a task before a slot that has its job; the next one moves it on.
PLANNED_WITHIN = timedelta(days=1)
OF_SLOTS = frozenset({Trigger.SCHEDULE, Trigger.RERUN})


class Action(StrEnum):
    CANCEL = "cancel"
    RERUN = "rerun"
    SET_PRIORITY = "set_priority"
    DELETE = "delete"


@dataclass(frozen=True)
class ActionRequest:
    """Who wants which action, and since when."""

    actor: Actor
    action: Action
    # The time of the audit entry. Every repeat has the same: the entry's id is made of it.
    requested_at: datetime
    # Of SET_PRIORITY only.
    priority: int | None = None
    # The Idempotency-Key or the batch's id, written to the job with the action. None: each call acts anew.
    mark: str | None = None
    # Of a batch: the batch does the follow-up work, once for all jobs of a part.
    batch_id: str | None = None


# --- one job ----------------------------------------------------------------------------------------------------------


def cancel(job_id: str, *, actor: Actor, now: datetime, mark: str | None = None) -> JobRecord:
    """End a waiting job at once; ask the worker of an active one to stop. Raises WrongState for an ended job.

    Cancelling an active job twice is no error; the first request stands.
    """
    return act(job_id, ActionRequest(actor, Action.CANCEL, now, mark=_dated(mark, now)), now=now)


def rerun(job_id: str, *, actor: Actor, now: datetime, mark: str | None = None) -> JobRecord:
    """Put an ended job into its queue again, with the same window and parameters, and send its token."""
    job = act(job_id, ActionRequest(actor, Action.RERUN, now, mark=_dated(mark, now)), now=now)
    leases.send_token(job, now=now)
    return job


def _dated(mark: str | None, accepted_at: datetime) -> str | None:
    """The mark of a request, begun with its time as a batch's id is: a job forgets the oldest of many."""
    return None if mark is None else ulid(accepted_at, mark)


def set_priority(job_id: str, priority: int, *, actor: Actor, now: datetime) -> JobRecord:
    """Change the priority of an open job. Takes effect at the next claim."""
    return act(job_id, ActionRequest(actor, Action.SET_PRIORITY, now, priority=priority), now=now)


def delete(job_id: str, *, actor: Actor, now: datetime) -> None:
    """Remove an ended job's record, its runs, its files and its logs."""
    act(job_id, ActionRequest(actor, Action.DELETE, now), now=now)


def act(
    job_id: str,
    request: ActionRequest,
    *,
    now: datetime,
    job: JobRecord | None = None,
    before: Mapping[str, Any] | None = None,
) -> JobRecord:
    """Do the action on one job; the job as it is afterwards. Raises JobNotFound, or WrongState if it is not accepted.

    `job`: the record, when the caller has just read it. `before`: the columns as they were before the first try, for
    the audit of a repeat.
    """
    for _ in range(TRIES):
        job = job or store.get(job_id)
        if job.deleted_at is not None:
            if request.action is not Action.DELETE:
                raise WrongState(f"Job {job_id} is being deleted.")
            deletion.complete(job)
            return job
        if is_marked(job, request.mark):
            columns_before = before or {}
            asked_by_another = request.action is Action.CANCEL and job.cancel_requested_by != request.actor.name
        else:
            columns_before = audit.snapshot(job)
            # The first cancel stands. One that comes after it changes nothing, and has no entry in the audit.
            asked_by_another = request.action is Action.CANCEL and job.cancel_requested_at is not None
            refused = refusal(request.action, job.status) or _keeps_its_slot(job, request.action, now=now)
            if refused is not None:
                raise WrongState(f"Job {job_id} {refused}")
            if not RULES[request.action].write(job, request, now):
                job = None
                continue
        if request.action is Action.DELETE:
            deletion.complete(job, before=columns_before)
        elif not asked_by_another:
            _record_audit(job, request, before=columns_before)
        return job
    raise WrongState(f"Job {job_id} changes too fast; try again.")


def refusal(action: Action, status: JobStatus) -> str | None:
    """Why the action is not accepted for a job of this status, as the rest of "Job <id> …"; None when it is."""
    rule = RULES[action]
    return None if status in rule.accepts else rule.refusal.format(status=status.value)


def _keeps_its_slot(job: JobRecord, action: Action, *, now: datetime) -> str | None:
    """Why the job is not deleted yet: until its task is past the slot, its id keeps the slot from a second start."""
    if action is not Action.DELETE or job.trigger not in OF_SLOTS or job.scheduled_for <= now - PLANNED_WITHIN:
        return None
    if job.scheduled_for > now:
        return f"is of a slot still to come, {rfc3339(job.scheduled_for)}; it can be deleted after that."
    task = tasks.find(job.task_id)
    if task is None or task.next_fire_at is None or task.next_fire_at > job.scheduled_for:
        return None
    return "is of a slot that is being planned; it can be deleted in a minute."


def is_marked(job: JobRecord, mark: str | None) -> bool:
    """Whether this request or batch has acted on the job already."""
    return mark is not None and mark in (job.acts or ())


def _record_audit(job: JobRecord, request: ActionRequest, *, before: Mapping[str, Any]) -> None:
    columns = RULES[request.action].audited
    after = audit.snapshot(job)
    old, new = ({name: each.get(name) for name in columns} for each in (before, after))
    if request.batch_id is not None:
        new["batch"] = request.batch_id
    audit.record(request.actor, request.action, "job", job.job_id, before=old, after=new, now=request.requested_at)


# --- the write of each action: False when the job changed since it was read -------------------------------------------


def _cancel(job: JobRecord, request: ActionRequest, now: datetime) -> bool:
    by = request.actor.name
    if job.status in ACTIVE:
        return job_updates.request_cancel(job, by=by, now=now, mark=request.mark)
    end = completion.end_without_run if request.batch_id is None else completion.end_one_of_many
    message = f"Cancelled by {by} while waiting."
    return end(job, JobStatus.CANCELED, Reason.BY_USER, message, now=now, by=by, mark=request.mark)


def _rerun(job: JobRecord, request: ActionRequest, now: datetime) -> bool:
    # The runs of an open job must not expire before it. When the job ends again, they get the expiry of its end.
    run_store.set_expiry(job.job_id, range(1, int(job.run_no) + 1), until=retention.while_open(now))
    # The update below removes why the job had ended.
    end_line.write(job, now=now)
    return job_transitions.rerun(
        job,
        by=request.actor.name,
        now=now,
        lease_until=leases.token_lease(max(now, job.scheduled_for), now=now),
        mark=request.mark,
    )


def _set_priority(job: JobRecord, request: ActionRequest, now: datetime) -> bool:
    assert request.priority is not None
    return job_updates.set_priority(job, request.priority, mark=request.mark)


def _delete(job: JobRecord, request: ActionRequest, now: datetime) -> bool:
    return deletion.begin(
        job, actor=request.actor, at=request.requested_at, now=now, mark=request.mark, batch_id=request.batch_id
    )


@dataclass(frozen=True)
class Rule:
    """How an action treats a job."""

    # The statuses of the jobs that it accepts.
    accepts: frozenset[JobStatus]
    # What it says of any other job, behind "Job <id>".
    refusal: str
    write: Callable[[JobRecord, ActionRequest, datetime], bool]
    # The columns that its audit entry shows from old to new. Deletion records the whole job, by itself.
    audited: tuple[str, ...] = ()


RULES: dict[Action, Rule] = {
    Action.CANCEL: Rule(OPEN, "has ended: it is {status}.", _cancel, ("status", "cancel_requested_at")),
    Action.RERUN: Rule(ENDED, "is {status}; only an ended job can be run again.", _rerun, ("status",)),
    Action.SET_PRIORITY: Rule(OPEN, "has ended: it is {status}.", _set_priority, ("priority",)),
    Action.DELETE: Rule(ENDED, "is {status}; only an ended job can be deleted.", _delete),
}
