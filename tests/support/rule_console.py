"""The EventBridge console in a test's hands, and the events that a rule would send."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from chalicelib.aws import rules
from chalicelib.core.instants import rfc3339
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import rule_events
from chalicelib.tasks.events import fire
from tests.support.simulator import Stage

MINUTELY = {"type": "cron", "expression": "* * * * *"}
# Past the time that a save is given, and past the time between two looks.
SOON = timedelta(minutes=2, seconds=1)
LATER = timedelta(minutes=10, seconds=1)


def a_task(stage: Stage, **changes: Any) -> TaskRecord:
    return stage.task(**({"trigger": "eventbridge", "schedule": MINUTELY} | changes))


def shown(stage: Stage, task: TaskRecord) -> tuple[str, str] | None:
    """What the console shows of a task's rule."""
    found = rules.find(task.task_id)
    return None if found is None else (found.expression, "ENABLED" if found.enabled else "DISABLED")


def names(stage: Stage) -> list[str]:
    return [rule["Name"] for rule in stage.world.client("events").list_rules()["Rules"]]


def edit(stage: Stage, task: TaskRecord, **changes: Any) -> None:
    """Edit a rule as the console does."""
    events, name = stage.world.client("events"), rules.name(task.task_id)
    events.put_rule(**{"Name": name, "ScheduleExpression": "cron(* * * * ? *)", "State": "ENABLED"} | changes)


def remove(task: TaskRecord) -> None:
    rules.delete(task.task_id)


def told(stage: Stage, task: TaskRecord, at: datetime, *, event_id: str = "e-1") -> JobRecord | None:
    """Have the rule's target receive the event of an instant, made by the transformer that stands there."""
    targets = stage.world.client("events").list_targets_by_rule(Rule=rules.name(task.task_id))["Targets"]
    (transformer,) = [target["InputTransformer"] for target in targets]
    made = {"$.id": event_id, "$.time": rfc3339(at)}
    text = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        text = text.replace(f"<{name}>", json.dumps(made[path]))
    return fire(json.loads(text), invocation_id="i-1", now=stage.now)


def told_late(stage: Stage, task: TaskRecord, at: datetime) -> JobRecord | None:
    """The event of a rule that is gone meanwhile."""
    return rule_events.fire(task.task_id, at, now=stage.now)


def minute(stage: Stage, task: TaskRecord) -> JobRecord | None:
    """Let a minute pass and its slot be told of, some seconds late."""
    stage.world.now = stage.now.replace(second=0) + timedelta(minutes=1, seconds=20)
    job = told(stage, task, stage.now - timedelta(seconds=15), event_id=str(stage.now))
    stage.deliver()
    return job


def sweep_after(stage: Stage, time: timedelta) -> None:
    stage.world.now += time
    stage.sweep()
