"""A task and its own EventBridge rule: what the rule is to be, and how it follows the task.

The record is written first and the rule follows. The record also keeps what was last put there (`rule_expression`,
`rule_state`) and for which revision. A rule that differs from it was edited in the console; a revision that differs
belongs to a save that died before it put the rule.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.aws import rules
from chalicelib.aws.rules import Rule
from chalicelib.core.lifecycle import EVENTBRIDGE
from chalicelib.core.schedules.eventbridge import from_eventbridge, rule_expression
from chalicelib.errors import InvalidSchedule
from chalicelib.log import event
from chalicelib.store import tasks, watches
from chalicelib.store.task_record import TaskRecord
from chalicelib.store.watches import Watched

# States of a rule as the record keeps them; DELETED: in the console.
ENABLED, DISABLED, DELETED = "ENABLED", "DISABLED", "DELETED"
# A save takes far less: after this the sweep puts or deletes the rule that a dead save left.
SAVE_LEASE = timedelta(minutes=2)


def has_rule(task: TaskRecord) -> bool:
    return bool(task.trigger == EVENTBRIDGE)


def wanted_rule(task: TaskRecord) -> Rule | None:
    """The rule that the task asks for; None for a disabled task whose rule was deleted in the console."""
    if not task.enabled and task.rule_state == DELETED:
        return None
    return Rule(rule_expression(task.schedule), bool(task.enabled), task.name)


def last_put(task: TaskRecord) -> Rule | None:
    if task.rule_expression is None or task.rule_state == DELETED:
        return None
    return Rule(task.rule_expression, task.rule_state == ENABLED)


def same(one: Rule | None, other: Rule | None) -> bool:
    """Whether both fire alike, however their expressions are written."""
    if one is None or other is None:
        return one is other
    return one.enabled == other.enabled and same_times(one.expression, other.expression)


def same_times(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return from_eventbridge(one) == from_eventbridge(other)
    except InvalidSchedule:
        return False


def watch_rule(task_id: str, *, now: datetime) -> None:
    """Call before a save or a deletion: should the process die, the sweep compares the rule with the task."""
    watches.keep(Watched.RULE, task_id, until=now + SAVE_LEASE)


def sync(task: TaskRecord) -> None:
    """Put the rule of a task as saved, or delete it. Raises Unavailable; the sweep then tries again.

    A save that leaves the schedule and `enabled` as they are keeps an edit made in the console; the next comparison of
    rule and task adopts it.
    """
    current: TaskRecord | None = task
    while current is not None and not _sync_once(current):
        # Another save came between, and this one may have put its older rule last.
        current = tasks.find(task.task_id)
    if current is None:
        rules.delete(task.task_id)


def _sync_once(task: TaskRecord) -> bool:
    """Put or delete the rule; False when the task was edited since it was read."""
    if not has_rule(task):
        rules.delete(task.task_id)
        return tasks.note_rule(task, expression=None, state=None)
    rule, last = wanted_rule(task), last_put(task)
    if rule is None:
        return True
    if last is not None and same(rule, last):
        found = rules.find(task.task_id)
        if found is not None and not same(found, last):
            return True
    if last is not None and same_times(rule.expression, last.expression):
        # An expression written another way in the console stays.
        rule = Rule(last.expression, rule.enabled, rule.description)
    rules.put(task.task_id, rule)
    event("rule put", task_id=task.task_id, expression=rule.expression, enabled=rule.enabled)
    return note_put(task, rule)


def note_put(task: TaskRecord, rule: Rule) -> bool:
    return tasks.note_rule(task, expression=rule.expression, state=ENABLED if rule.enabled else DISABLED)
