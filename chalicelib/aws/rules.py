"""EventBridge rules: one for each task that asks for its own, to be seen and edited in the AWS console."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.batches import put_targets, remove_targets
from chalicelib.aws.clients import client
from chalicelib.errors import Unavailable
from chalicelib.settings import settings

# A rule may have other targets besides ours.
TARGET = "carillon-fire"
# What marks an event as one of a task's own rule: it stands for a slot of the schedule.
TRIGGER = "schedule"
DESCRIPTION_LIMIT = 512

_PATHS = {"id": "$.id", "time": "$.time"}


@dataclass(frozen=True)
class Rule:
    """The columns of a rule that a task decides. `expression` is empty for a rule that waits for events instead."""

    expression: str
    enabled: bool
    description: str = ""


def name(task_id: str) -> str:
    """At most 64 characters where the stack's name has no more than 32."""
    return f"{settings().rules}-task-{task_id}"


def put(task_id: str, rule: Rule) -> None:
    """Make or replace a task's rule and its target; repeating it changes nothing."""
    with _translated_errors():
        _events().put_rule(
            Name=name(task_id),
            ScheduleExpression=rule.expression,
            State="ENABLED" if rule.enabled else "DISABLED",
            Description=rule.description[:DESCRIPTION_LIMIT],
        )
        transformer = {"InputPathsMap": _PATHS, "InputTemplate": template(task_id)}
        target = {"Id": TARGET, "Arn": settings().fire_arn, "InputTransformer": transformer}
        put_targets(_events(), name(task_id), [target])


def template(task_id: str) -> str:
    """The input that `fire` gets, with the event's own id and time where the angle brackets stand."""
    fixed = json.dumps({"task": task_id, "trigger": TRIGGER})
    return fixed.removesuffix("}") + ', "event_id": <id>, "scheduled_for": <time>}'


def find(task_id: str) -> Rule | None:
    """The task's rule as it is now; None when there is none."""
    with _translated_errors(), _absent_is_fine():
        found = _events().describe_rule(Name=name(task_id))
        enabled = found.get("State") != "DISABLED"
        return Rule(found.get("ScheduleExpression", ""), enabled, found.get("Description", ""))
    return None


def delete(task_id: str) -> None:
    """Remove a task's rule. It need not exist; a rule that has another target besides ours stays, with that one."""
    with _translated_errors():
        with _absent_is_fine():
            remove_targets(_events(), name(task_id), [TARGET])
        with _absent_is_fine("ValidationException"):
            _events().delete_rule(Name=name(task_id))


def _events() -> Any:
    return client("events")


@contextmanager
def _absent_is_fine(*others: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if _code(error) not in ("ResourceNotFoundException", *others):
            raise


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise what EventBridge refuses as Unavailable."""
    try:
        yield
    except ClientError as error:
        if _code(error) == "LimitExceededException":
            raise Unavailable(
                "EventBridge takes no more rules: an event bus has room for 300 until AWS is asked for more."
            ) from error
        raise Unavailable(f"EventBridge refused: {_code(error)}.") from error
    except BotoCoreError as error:
        raise Unavailable("EventBridge did not answer.") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
