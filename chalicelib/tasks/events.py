"""Events of EventBridge: from a task's own rule (see `rule_events`), or from a rule or a schedule made by hand.

The input of one made by hand is `{"task": "<id or name>", "parameters": {...}}`. Two deliveries of one event have the
same id; the first of these that there is:

    event_id        set with an input transformer from `$.id`, or `<aws.scheduler.execution-id>`
    id              the event's own, where the rule passes the event on and names the task in its `detail`
    invocation id   AWS keeps it when it delivers the same asynchronous invocation again
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib.aws import rules
from chalicelib.core.ids import job_id_of_request
from chalicelib.core.instants import FIRST_YEAR, LAST_YEAR, floor_second, parse, slot
from chalicelib.core.lifecycle import Trigger
from chalicelib.errors import Invalid, TaskNotFound
from chalicelib.store import idempotency
from chalicelib.store import tasks as store
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import rule_events, starts, validation

OPERATOR = "eventbridge"
# Characters of an event's id: it is part of a key, and DynamoDB takes keys of 2,048 bytes.
LONGEST_ID = 400
# How long a second delivery of an event is known as one. EventBridge and Lambda deliver again within a day; an event
# that they gave up on is kept for 14 days, in which `make replay` may hand it over again.
KEPT = timedelta(days=15)


def fire(event: Mapping[str, Any], *, invocation_id: str, now: datetime) -> JobRecord | None:
    """Start the job that an event asks for, once per event. Raises Invalid or TaskNotFound naming what is wrong: all
    that the API refuses for a start by hand.

    None when a task's own rule reports a time that is no slot of the task any more.
    """
    detail = event.get("detail")
    asked: Mapping[str, Any] = detail if isinstance(detail, Mapping) and "task" in detail else event
    if asked.get("trigger") == rules.TRIGGER:
        return rule_events.fire(str(asked.get("task")), _instant(asked.get("scheduled_for")) or now, now=now)
    task = _task_named(asked.get("task"))
    parameters = asked.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise Invalid("parameters must be an object.", field="parameters")
    validation.check_start(task, parameters)
    at = _instant(asked.get("scheduled_for") or event.get("time"))
    scheduled_for = floor_second(min(at or now, now))
    named = str(asked.get("event_id") or event.get("id") or invocation_id)
    if len(named) > LONGEST_ID:
        raise Invalid(f"event_id has at most {LONGEST_ID} characters.", field="event_id")
    event_id = f"event|{task.task_id}|{named}"
    # The id has the time of acceptance in it, so a second delivery needs that of the first.
    accepted_at = idempotency.first_accepted(event_id, now=now, kept=KEPT)
    job_id = job_id_of_request(accepted_at, task.task_id, event_id)
    return starts.start(
        task,
        job_id=job_id,
        trigger=Trigger.EVENT,
        parameters=dict(parameters),
        scheduled_for=scheduled_for,
        operator=OPERATOR,
        now=now,
    )


def _task_named(named: Any) -> TaskRecord:
    if not isinstance(named, str) or not named:
        raise Invalid('The event must name its task: {"task": "<id or name>"}.', field="task")
    found = store.find(named)
    if found is not None:
        return found
    matches = store.ids_named(named)
    if len(matches) > 1:
        raise Invalid(f"{len(matches)} tasks are named {named!r}; use the id.", field="task")
    if not matches:
        raise TaskNotFound(f"There is no task {named!r}.")
    return store.get(matches[0])


def _instant(text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        return slot(parse(str(text)))
    except (ValueError, OverflowError):
        message = f"scheduled_for must be an RFC 3339 instant with a zone, of the years {FIRST_YEAR} to {LAST_YEAR}."
        raise Invalid(message, field="scheduled_for") from None
