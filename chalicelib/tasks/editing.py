"""Editing tasks: create, replace, patch, enable, disable and delete definitions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.access.actor import Actor
from chalicelib.core.ids import ulid
from chalicelib.errors import StaleRevision
from chalicelib.scheduling import tick
from chalicelib.store import tasks as store
from chalicelib.store.revisions import again_when_overtaken
from chalicelib.store.task_record import GIVEN, TaskRecord
from chalicelib.tasks import room, rule_events, rule_sync, saving, validation


def get(task_id: str) -> TaskRecord:
    return store.get(task_id)


def create(body: Mapping[str, Any], *, actor: Actor, now: datetime, key: str | None = None) -> TaskRecord:
    """Save a new task and plan what is due before the next tick; a `now` task starts at once.

    The task is made once per `key` (an idempotency key, unique to its caller) and `now`.
    """
    columns = validation.accept(body, now=now)
    task_id = ulid(now, None if key is None else f"task|{key}")
    task = TaskRecord(task_id, creator=actor.name, created_at=now, updated_at=now, **columns)
    room.require_room(task, now=now)
    return saving.create(task, actor=actor, now=now)


def replace(task_id: str, body: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime) -> TaskRecord:
    """Save a task's new definition and cancel the jobs that the old one planned ahead. Never fires a past slot.

    Raises StaleRevision when `revision` is given and is not the task's.
    """
    task = _current(task_id, revision, now=now)
    columns = validation.accept(body, now=now, known=task)
    room.require_room(store.changed(task, **columns), now=now)
    return saving.save(task, columns, "update", saving.EDITED, actor=actor, now=now)


@again_when_overtaken
def patch(task_id: str, changes: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime) -> TaskRecord:
    """Change the named fields and leave the others; a mapping is replaced whole, null clears an optional field."""
    task = _current(task_id, revision, now=now)
    body = {name: getattr(task, name) for name in GIVEN} | dict(changes)
    columns = validation.accept(body, now=now, known=task)
    room.require_room(store.changed(task, **columns), now=now)
    return saving.save(task, columns, "update", saving.EDITED, actor=actor, now=now)


@again_when_overtaken
def enable(task_id: str, *, note: str | None = None, actor: Actor, now: datetime) -> TaskRecord:
    """Let the schedule fire again, from now on: time spent disabled is no misfire."""
    task = store.get(task_id)
    validation.check_start(task, {})
    room.require_room(task, now=now)
    return _switch(task_id, True, note, "enable", actor=actor, now=now)


@again_when_overtaken
def disable(task_id: str, *, note: str | None = None, actor: Actor, now: datetime) -> TaskRecord:
    """Stop firing: jobs planned and not yet due are cancelled; those that wait or run go on."""
    return _switch(task_id, False, note, "disable", actor=actor, now=now)


@again_when_overtaken
def delete(task_id: str, *, revision: int | None = None, actor: Actor, now: datetime) -> None:
    """Delete the definition. Its jobs stay readable, and those that wait or run go on to their end."""
    saving.delete(_current(task_id, revision, now=now), actor=actor, now=now)


def _current(task_id: str, revision: int | None, *, now: datetime) -> TaskRecord:
    """The task as it is to be edited. Slots due before the edit are recorded first, by the old definition."""
    task = store.get(task_id)
    if rule_sync.has_rule(task):
        task = rule_events.before_edit(task, now=now)
    if revision is not None and revision != task.revision:
        raise StaleRevision(f"The task was edited since: its revision is {task.revision}, not {revision}.")
    tick.plan_now(task, now=now, until=now)
    return task


def _switch(task_id: str, on: bool, note: str | None, action: str, *, actor: Actor, now: datetime) -> TaskRecord:
    task = _current(task_id, None, now=now)
    return saving.save(task, {"enabled": on, "note": note or ""}, action, saving.DISABLED, actor=actor, now=now)
