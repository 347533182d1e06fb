"""Writing a task's record, new, edited or deleted, and walking its companions before and after the write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from chalicelib.access.actor import Actor
from chalicelib.errors import Unavailable, WrongState
from chalicelib.log import event
from chalicelib.scheduling import ahead, tick
from chalicelib.store import tasks as store
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import rule_sync, validation
from chalicelib.tasks.companions import COMPANIONS, Change

# How often an edit begins again when firing moves the task's plan meanwhile.
TRIES = 5
# Why a job that was planned ahead is cancelled.
EDITED = "The task was edited before the slot."
DISABLED = "The task was disabled before the slot."
DELETED = "The task was deleted before the slot."


def create(task: TaskRecord, *, actor: Actor, now: datetime) -> TaskRecord:
    """Write a new task and plan what is due before the next tick; the task that has the id already, if one has.

    Raises Unavailable when the task's own rule cannot be put: then there is no task.
    """
    validation.plan(task, now=now, fire_now=True)
    change = Change(None, task, "create", actor, now)
    for companion in reversed(COMPANIONS):
        companion.before_save(change)
    if not store.insert(task):
        task = store.get(task.task_id)
        change = replace(change, after=task)
    try:
        for companion in COMPANIONS:
            companion.confirm_new(change)
    except Unavailable:
        store.remove(task.task_id, expected_revision=int(task.revision))
        raise
    event("task created", task_id=task.task_id, kind=task.kind, next_fire_at=task.next_fire_at)
    for companion in COMPANIONS:
        companion.after_create(change)
    return task


def save(
    task: TaskRecord,
    columns: Mapping[str, Any],
    action: str,
    reason: str,
    *,
    actor: Actor,
    now: datetime,
    follow_rule: Callable[[TaskRecord], object] = rule_sync.sync,
) -> TaskRecord:
    """The task with new values, written. Raises StaleRevision when it was edited since it was read.

    `reason` tells why jobs planned by the old definition are cancelled; `follow_rule` brings the task's own rule in
    step, where it has or had one.
    """
    edited = store.changed(task, **{**columns, "updated_at": now})
    _plan_anew(edited, task, now=now)
    change = Change(task, edited, action, actor, now, reason, follow_rule)
    for companion in reversed(COMPANIONS):
        companion.before_save(change)
    for _ in range(TRIES):
        if store.overwrite(edited, expected_revision=int(task.revision), previous_fire_at=task.previous_fire_at):
            break
        # A tick, or a rule's event, recorded a slot meanwhile.
        task = store.get(task.task_id)
        tick.plan_now(task, now=now, until=now)
        _plan_anew(edited, task, now=now)
    else:
        raise WrongState("The task's slots are being planned; try again.")
    event("task saved", action=action, task_id=edited.task_id, revision=int(edited.revision))
    for companion in COMPANIONS:
        companion.after_edit(change)
    return edited


def _plan_anew(edited: TaskRecord, task: TaskRecord, *, now: datetime) -> None:
    """Set what the edited task knows of its slots as of the edit, and its next slot after it."""
    known = ahead.progress_at(task, now)
    edited.previous_fire_at, edited.missed_since, edited.ahead = known.previous_fire_at, known.missed_since, None
    newly_now = edited.schedule["type"] == "now" and task.schedule["type"] != "now"
    validation.plan(edited, now=now, fire_now=newly_now or known.previous_fire_at is None)


def delete(task: TaskRecord, *, actor: Actor, now: datetime) -> None:
    """Delete the record. Raises StaleRevision when the task was edited since it was read."""
    change = Change(task, None, "delete", actor, now, DELETED)
    for companion in reversed(COMPANIONS):
        companion.before_delete(change)
    store.remove(task.task_id, expected_revision=int(task.revision))
    event("task deleted", task_id=task.task_id)
    for companion in COMPANIONS:
        companion.after_delete(change)
