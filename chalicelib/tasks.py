"""Tasks: definitions that people edit, and what an edit means for the slots already planned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib import definitions, in_step, rule_fires
from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.aws import rules
from chalicelib.core.ids import job_id_of_request, ulid
from chalicelib.core.instants import floor_second
from chalicelib.core.lifecycle import JobStatus, Reason, Trigger
from chalicelib.core.schedules import fires as schedules
from chalicelib.errors import Invalid, StaleRevision, Unavailable
from chalicelib.log import event
from chalicelib.queue import concurrency
from chalicelib.queue.leases import send_token
from chalicelib.retention import longest_life
from chalicelib.saving import DELETED, DISABLED, EDITED, planned, save, withdraw
from chalicelib.scheduling import slots, tick
from chalicelib.store import job_updates, jobs, task_names
from chalicelib.store import tasks as store
from chalicelib.store.job_record import JobRecord
from chalicelib.store.tasks import TaskRecord
from chalicelib.task_lists import listing

__all__ = ["create", "delete", "disable", "enable", "get", "listing", "patch", "replace", "run", "start"]


def get(task_id: str) -> TaskRecord:
    return store.get(task_id)


def create(body: Mapping[str, Any], *, actor: Actor, now: datetime, key: str | None = None) -> TaskRecord:
    """Save a new task and plan what is due before the next tick; a `now` task starts at once.

    With the same `key` (an idempotency key, unique to its caller) and `now` the task is made once.
    """
    columns = definitions.accept(body, now=now)
    task_id = ulid(now, None if key is None else f"task|{key}")
    task = TaskRecord(task_id, creator=actor.name, created_at=now, updated_at=now, **columns)
    definitions.plan(task, now=now, fire_now=True)
    if in_step.has_rule(task):
        in_step.watch(task_id, now=now)
    task_names.register(task_id, task.name, revision=1)
    concurrency.set_out(concurrency.of_task(task_id), task.max_concurrency)
    if not store.insert(task):
        task = store.get(task_id)
    if in_step.has_rule(task):
        _put_rule(task)
    audit.record(actor, "create", "task", task_id, before=None, after=audit.snapshot(task), now=now)
    event("task created", task_id=task_id, kind=task.kind, next_fire_at=task.next_fire_at)
    tick.plan_now(task, now=now)
    return task


def replace(task_id: str, body: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime) -> TaskRecord:
    """Save a task's new definition; slots planned ahead by the old one are taken out of the plan.

    Never fires a past slot. Raises StaleRevision when `revision` is given and is not the task's.
    """
    task = _current(task_id, revision, now=now)
    columns = definitions.accept(body, now=now, known_schedule=task.schedule)
    return save(task, columns, "update", EDITED, actor=actor, now=now)


def patch(task_id: str, changes: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime) -> TaskRecord:
    """Change the named fields and leave the others; a mapping is replaced whole, null clears an optional field."""
    task = _current(task_id, revision, now=now)
    names = (
        *definitions.PLAIN,
        "kind",
        "enabled",
        "schedule",
        "window",
        "misfire",
        "overlap",
        "retry",
        "parameters",
        "spec",
    )
    body = {name: getattr(task, name) for name in names} | dict(changes)
    columns = definitions.accept(body, now=now, known_schedule=task.schedule)
    return save(task, columns, "update", EDITED, actor=actor, now=now)


def enable(task_id: str, *, note: str | None = None, actor: Actor, now: datetime) -> TaskRecord:
    """Let the schedule fire again, from now on: time spent disabled is no misfire."""
    definitions.check_start(store.get(task_id), {})
    return _switch(task_id, True, note, "enable", actor=actor, now=now)


def disable(task_id: str, *, note: str | None = None, actor: Actor, now: datetime) -> TaskRecord:
    """Stop firing; what is planned and not yet due is cancelled, what waits or runs goes on."""
    return _switch(task_id, False, note, "disable", actor=actor, now=now)


def delete(task_id: str, *, revision: int | None = None, actor: Actor, now: datetime) -> None:
    """Remove the definition. Its jobs stay readable, and those waiting or running come to their proper end."""
    task = _current(task_id, revision, now=now)
    if in_step.has_rule(task):
        in_step.watch(task_id, now=now)
    for job in planned(task_id):
        if job.not_before <= now:
            job_updates.outlive_task(job)
    store.remove(task_id, expected_revision=int(task.revision))
    withdraw(task_id, DELETED, now=now)
    concurrency.forget(concurrency.of_task(task_id), before=task.max_concurrency, now=now)
    audit.record(actor, "delete", "task", task_id, before=audit.snapshot(task), after=None, now=now)
    task_names.release(task_id, task.name, revision=int(task.revision), now=now, expires_at=now + longest_life())
    event("task deleted", task_id=task_id)
    if in_step.has_rule(task):
        _delete_rule(task_id)


def run(
    task_id: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    scheduled_for: datetime | None = None,
    actor: Actor,
    now: datetime,
    key: str | None = None,
) -> JobRecord:
    """Start a job now. A past `scheduled_for` gives it that slot's window; with the same key and now it starts once."""
    task = store.get(task_id)
    if scheduled_for is not None and scheduled_for > now:
        raise Invalid("scheduled_for is for past slots; a future one belongs in a schedule.", field="scheduled_for")
    definitions.check_start(task, parameters or {})
    job_id = job_id_of_request(now, task_id, key) if key is not None else ulid(now)
    job = start(
        task,
        job_id=job_id,
        trigger=Trigger.MANUAL,
        parameters=dict(parameters or {}),
        scheduled_for=floor_second(scheduled_for or now),
        operator=actor.name,
        now=now,
    )
    audit.record(actor, "run", "task", task_id, before=None, after={"job_id": job.job_id}, now=now)
    return job


def start(
    task: TaskRecord,
    *,
    job_id: str,
    trigger: Trigger,
    parameters: dict[str, Any],
    scheduled_for: datetime,
    operator: str | None,
    now: datetime,
) -> JobRecord:
    """Put one job into the line at once, or give back the one that this id has already."""
    window = slots.window_of(task, scheduled_for, previous=_fire_before(task, scheduled_for))
    job = slots.build(
        task,
        job_id=job_id,
        trigger=trigger,
        scheduled_for=scheduled_for,
        window=window,
        parameters=parameters,
        operator=operator,
        now=now,
    )
    if slots.is_empty(task, window):
        slots.end_at_birth(job, JobStatus.SKIPPED, Reason.EMPTY_WINDOW, now=now)
    else:
        job.admitted = True
    if not jobs.insert(job):
        job = jobs.get(job_id)
    if job.status == JobStatus.WAITING:
        send_token(job, now=now)
    event("job started by request", job_id=job.job_id, task_id=task.task_id, trigger=trigger)
    return job


def _fire_before(task: TaskRecord, instant: datetime) -> datetime | None:
    """The schedule's last fire before the instant: where `since_previous_fire` begins for a start by hand."""
    if task.schedule["type"] in ("now", "once"):
        return None
    before = schedules.latest(task.schedule, at_or_before=instant)
    if before == instant:
        before = schedules.latest(task.schedule, at_or_before=instant - slots.SECOND)
    return before


def _put_rule(task: TaskRecord) -> None:
    """The first rule of a new task: without it the task is not made."""
    try:
        in_step.follow(task)
    except Unavailable:
        store.remove(task.task_id, expected_revision=int(task.revision))
        raise


def _delete_rule(task_id: str) -> None:
    try:
        rules.delete(task_id)
    except Unavailable as error:
        event("rule left to the sweep", level="WARN", task_id=task_id, error=error.message)


def _current(task_id: str, revision: int | None, *, now: datetime) -> TaskRecord:
    """The task as it is to be edited. Slots due before the edit are recorded first, as they were defined."""
    task = store.get(task_id)
    if in_step.has_rule(task):
        task = rule_fires.before_edit(task, now=now)
    if revision is not None and revision != task.revision:
        raise StaleRevision(f"The task was edited since: its revision is {task.revision}, not {revision}.")
    tick.plan_now(task, now=now, until=now)
    return task


def _switch(task_id: str, on: bool, note: str | None, action: str, *, actor: Actor, now: datetime) -> TaskRecord:
    task = _current(task_id, None, now=now)
    return save(task, {"enabled": on, "note": note or ""}, action, DISABLED, actor=actor, now=now)
