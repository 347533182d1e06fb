"""Edits of a task's rule in the AWS console: adopted into the task, never overwritten.

Rule and task are compared before every edit of such a task, at every event of its rule, and by `sweep` every ten
minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from chalicelib.store import tasks as store
from chalicelib.store import watches
from chalicelib.store.task_record import TaskRecord
from chalicelib.store.watches import Watched
from chalicelib.tasks import companions, rule_sync, saving, validation

CONSOLE = Actor(name="eventbridge console", role=Role.EDITOR)
# How often the sweep compares a rule: one that is disabled, or fires rarely, sends no event at which an edit shows.
CHECK_EVERY = timedelta(minutes=10)

TAKEN_OVER = "Its rule was edited in the EventBridge console."
GONE = "Its rule was deleted in the EventBridge console."
NOT_TAKEN_OVER = "Its rule was edited in the EventBridge console and cannot be taken over: "


class Drift(Enum):
    """How a rule stood to its task."""

    IN_SYNC = "in_sync"
    STALE = "stale"  # a save died before its rule was put
    ADOPTED = "adopted"
    UNSUPPORTED = "unsupported"  # edited to what a task cannot express; the rule is left as it is


@dataclass(frozen=True)
class Comparison:
    """A task's rule as it is, as the task's record says it was last put or adopted, and as the task wants it."""

    found: Rule | None
    last_put: Rule | None
    wanted: Rule | None
    # The record says something of the rule: that it was put, or deleted in the console.
    noted: bool
    # The task was saved after that.
    saved_since: bool

    @classmethod
    def of(cls, task: TaskRecord) -> Comparison:
        return cls(
            found=rules.find(task.task_id),
            last_put=rule_sync.last_put(task),
            wanted=rule_sync.wanted_rule(task),
            noted=task.rule_state is not None,
            saved_since=task.rule_revision != task.revision,
        )

    @property
    def as_last_put(self) -> bool:
        return self.found is not None and rule_sync.same(self.found, self.last_put)

    def drift(self) -> Drift:
        """ADOPTED stands for an edit in the console that is to be adopted."""
        return next(drift for applies, drift in _CASES if applies(self))


# The first that applies counts.
_CASES: tuple[tuple[Callable[[Comparison], bool], Drift], ...] = (
    # Deleted in the console, and the task is disabled as the deletion left it.
    (lambda rule: rule.found is None and rule.wanted is None, Drift.IN_SYNC),
    # Never put; or deleted in the console, and the task saved since, which asks for the rule again.
    (lambda rule: rule.found is None and rule.saved_since, Drift.STALE),
    # Unchanged in the console, but a save died before it put the rule.
    (lambda rule: rule.as_last_put and rule.saved_since, Drift.STALE),
    (lambda rule: rule.as_last_put, Drift.IN_SYNC),
    # A save put the rule and died before it noted that.
    (lambda rule: rule_sync.same(rule.found, rule.wanted) or not rule.noted, Drift.STALE),
    (lambda rule: True, Drift.ADOPTED),
)


def reconcile(task: TaskRecord, *, now: datetime) -> tuple[TaskRecord, Drift]:
    """Compare the rule with what was last put there and adopt an edit made in the console: the task as it then is."""
    comparison = Comparison.of(task)
    drift = comparison.drift()
    if drift is not Drift.ADOPTED:
        return task, drift
    try:
        return _adopt(task, comparison, now=now), drift
    except Invalid as error:
        _note_unsupported(task, NOT_TAKEN_OVER + error.message)
        return task, Drift.UNSUPPORTED
    except StaleRevision:
        # An edit through the API came between; it puts the rule itself.
        return store.get(task.task_id), Drift.STALE


def maintain(task_id: str, *, now: datetime) -> None:
    """For the sweep: adopt an edit of one rule, or put or delete the rule where a process died before it could."""
    until = now + CHECK_EVERY
    watches.keep(Watched.RULE, task_id, until=until)
    task = store.find(task_id)
    if task is None:
        rules.delete(task_id)
    elif not rule_sync.has_rule(task):
        rule_sync.sync(task)
    else:
        task, drift = reconcile(task, now=now)
        if drift is Drift.STALE:
            rule_sync.sync(task)
        if drift in (Drift.STALE, Drift.IN_SYNC) and task.note.startswith((NOT_TAKEN_OVER, companions.RULE_NOT_PUT)):
            store.note(task, "")
        return
    watches.expire(Watched.RULE, task_id, until=until, now=now)


def _adopt(task: TaskRecord, rule: Comparison, *, now: datetime) -> TaskRecord:
    found, last = rule.found, rule.last_put
    if found is None:
        return _adopt_deletion(task, now=now)
    changes: dict[str, Any] = {"enabled": found.enabled, "note": TAKEN_OVER}
    if last is None or not rule_sync.same_times(found.expression, last.expression):
        changes["schedule"] = _schedule(task, found.expression, now=now)
    return _save(task, changes, now=now, follow_rule=lambda saved: rule_sync.note_put(saved, found))


def _schedule(task: TaskRecord, expression: str, *, now: datetime) -> Mapping[str, Any]:
    given = from_eventbridge(expression)
    schedule = validation.accept_task_schedule(given, now=now, trigger=EVENTBRIDGE)
    if task.window is not None:
        accept_window(task.window, schedule_type=schedule["type"], timezone=schedule["timezone"])
    return schedule


def _adopt_deletion(task: TaskRecord, *, now: datetime) -> TaskRecord:
    # Noted first: from here on no save puts the rule again until the task is enabled.
    if not store.note_rule(task, expression=str(task.rule_expression), state=rule_sync.DELETED):
        raise StaleRevision
    return _save(task, {"enabled": False, "note": GONE}, now=now, follow_rule=lambda saved: None)


def _save(
    task: TaskRecord, changes: Mapping[str, Any], *, now: datetime, follow_rule: Callable[[TaskRecord], object]
) -> TaskRecord:
    event("rule edited in the console", task_id=task.task_id, changed=sorted(set(changes) - {"note"}))
    return saving.save(task, changes, "update", saving.EDITED, actor=CONSOLE, now=now, follow_rule=follow_rule)


def _note_unsupported(task: TaskRecord, text: str) -> None:
    if task.note != text:
        store.note(task, text)
        event("rule cannot be taken over", level="WARN", task_id=task.task_id, reason=text)
