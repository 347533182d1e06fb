"""Edits of a task's rule in the AWS console: taken over into the task, never overwritten.

Looked for before every edit of such a task, at every event of its rule, and by `sweep` every ten minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from chalicelib.access.actor import Actor, Role
from chalicelib.aws import rules
from chalicelib.aws.rules import Rule
from chalicelib.core.lifecycle import EVENTBRIDGE
from chalicelib.core.schedules.eventbridge import from_eventbridge
from chalicelib.core.schedules.window import accept_window
from chalicelib.errors import Invalid, StaleRevision
from chalicelib.log import event
from chalicelib.store import rule_watch
from chalicelib.store import tasks as store
from chalicelib.store.tasks import TaskRecord
from chalicelib.tasks import companions, rule_sync, saving, validation

CONSOLE = Actor(name="eventbridge console", role=Role.EDITOR)
# An edit nobody notices otherwise (the rule was disabled, or fires rarely) shows in the task after this at most.
CHECK_EVERY = timedelta(minutes=10)

TAKEN_OVER = "Its rule was edited in the EventBridge console."
GONE = "Its rule was deleted in the EventBridge console."
NOT_TAKEN_OVER = "Its rule was edited in the EventBridge console and cannot be taken over: "


class Drift(Enum):
    """How a rule stood to its task."""

    IN_SYNC = "in_sync"
    STALE = "stale"  # a save died before its rule was put
    ADOPTED = "adopted"
    UNSUPPORTED = "unsupported"  # edited to what the task cannot say; the rule is left as it is


def reconcile(task: TaskRecord, *, now: datetime) -> tuple[TaskRecord, Drift]:
    """Compare the rule with what was last put there, and adopt what somebody changed. Gives the task as it then is."""
    found, last, wanted = rules.find(task.task_id), rule_sync.last_put(task), rule_sync.wanted_rule(task)
    saved_since = task.rule_revision != task.revision
    if found is None and last is None and (saved_since or wanted is None):
        # Never put; or deleted in the console, and the task enabled since, or not.
        return task, Drift.IN_SYNC if wanted is None else Drift.STALE
    if found is not None and rule_sync.same(found, last):
        return task, Drift.STALE if saved_since else Drift.IN_SYNC
    if rule_sync.same(found, wanted) or (saved_since and found is None) or task.rule_state is None:
        return task, Drift.STALE
    try:
        return (_adopt_deletion(task, now=now) if found is None else _adopt(task, found, now=now)), Drift.ADOPTED
    except Invalid as error:
        _note_unsupported(task, NOT_TAKEN_OVER + error.message)
        return task, Drift.UNSUPPORTED
    except StaleRevision:
        # Edited through the API meanwhile, which puts the rule itself.
        return store.get(task.task_id), Drift.STALE


def maintain(task_id: str, *, now: datetime) -> None:
    """What the sweep does for one rule: adopt what was edited, put or delete what a process left undone."""
    until = now + CHECK_EVERY
    rule_watch.keep(task_id, until=until)
    task = store.find(task_id)
    if task is None:
        rules.delete(task_id)
    elif not rule_sync.has_rule(task):
        rule_sync.sync(task)
    else:
        task, seen = reconcile(task, now=now)
        if seen is Drift.STALE:
            rule_sync.sync(task)
        if seen in (Drift.STALE, Drift.IN_SYNC) and task.note.startswith((NOT_TAKEN_OVER, companions.RULE_NOT_PUT)):
            store.note(task, "")
        return
    rule_watch.drop(task_id, until=until, now=now)


def _adopt(task: TaskRecord, found: Rule, *, now: datetime) -> TaskRecord:
    last = rule_sync.last_put(task)
    changes: dict[str, Any] = {"enabled": found.enabled, "note": TAKEN_OVER}
    if last is None or not rule_sync.same_times(found.expression, last.expression):
        changes["schedule"] = _schedule(task, found.expression, now=now)
    return _save(task, changes, now=now, found=found)


def _schedule(task: TaskRecord, expression: str, *, now: datetime) -> Mapping[str, Any]:
    given = from_eventbridge(expression)
    schedule = validation.accept_task_schedule(given, now=now, trigger=EVENTBRIDGE)
    if task.window is not None:
        accept_window(task.window, schedule_type=schedule["type"], timezone=schedule["timezone"])
    return schedule


def _adopt_deletion(task: TaskRecord, *, now: datetime) -> TaskRecord:
    # Noted first: from here on the rule is not put again, until somebody enables the task.
    if not store.note_rule(task, expression=str(task.rule_expression), state=rule_sync.DELETED):
        raise StaleRevision
    return _save(task, {"enabled": False, "note": GONE}, now=now, found=None)


def _save(task: TaskRecord, changes: Mapping[str, Any], *, now: datetime, found: Rule | None) -> TaskRecord:
    event("rule edited in the console", task_id=task.task_id, changed=sorted(set(changes) - {"note"}))

    def note(saved: TaskRecord) -> None:
        if found is not None:
            rule_sync.note_put(saved, found)

    return saving.save(task, changes, "update", saving.EDITED, actor=CONSOLE, now=now, follow_rule=note)


def _note_unsupported(task: TaskRecord, text: str) -> None:
    if task.note != text:
        store.note(task, text)
        event("rule cannot be taken over", level="WARN", task_id=task.task_id, reason=text)
