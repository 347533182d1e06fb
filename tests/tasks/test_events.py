from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus, Trigger
from chalicelib.errors import Invalid, TaskNotFound
from chalicelib.kinds.registry import kind_of
from chalicelib.tasks.events import fire
from tests.support.simulator import Stage


def quiet_task(stage: Stage, **changes: Any) -> Any:
    return stage.task(**({"enabled": False, "name": "Nightly"} | changes))


def test_a_rule_with_a_constant_input_starts_the_task_it_names(stage: Stage) -> None:
    quiet_task(stage)
    fire({"task": "Nightly", "parameters": {"region": "eu"}}, invocation_id="i-1", now=stage.now)
    stage.deliver()
    [job] = stage.jobs()
    assert (job.status, job.trigger, job.parameters) == (JobStatus.SUCCEEDED, Trigger.EVENT, {"region": "eu"})


@pytest.mark.parametrize(
    "event",
    [
        {"task": "Nightly"},  # constant input: the invocation's id is the same when AWS delivers it again
        {"task": "Nightly", "event_id": "e-1"},  # input transformer, or Scheduler's execution id
        {"id": "e-1", "time": "2026-03-02T08:59:00Z", "detail": {"task": "Nightly"}},  # the event passed on
    ],
)
def test_an_event_delivered_again_later_starts_nothing_more(stage: Stage, event: dict[str, Any]) -> None:
    quiet_task(stage)
    first = fire(event, invocation_id="i-1", now=stage.now)
    stage.deliver()
    again = fire(event, invocation_id="i-1", now=stage.now + timedelta(minutes=30))
    stage.deliver()
    assert again.job_id == first.job_id
    assert len(stage.runs()) == 1


def test_two_events_are_two_jobs(stage: Stage) -> None:
    quiet_task(stage)
    for number in range(2):
        fire({"task": "Nightly", "event_id": f"e-{number}"}, invocation_id="same", now=stage.now)
    assert len(stage.jobs()) == 2


def test_the_window_comes_from_the_scheduled_time_of_the_event(stage: Stage) -> None:
    task = quiet_task(stage, window={"type": "yesterday"})
    event = {"task": task.task_id, "event_id": "e", "scheduled_for": "2026-02-10T03:00:00Z"}
    job = fire(event, invocation_id="i", now=stage.now)
    assert (job.window_start, job.window_end) == (datetime(2026, 2, 9, tzinfo=UTC), datetime(2026, 2, 10, tzinfo=UTC))


@pytest.mark.parametrize(
    ("event", "error", "field"),
    [
        ({}, Invalid, "task"),
        ({"task": 5}, Invalid, "task"),
        ({"task": "nobody"}, TaskNotFound, None),
        ({"task": "Nightly", "parameters": [1]}, Invalid, "parameters"),
        ({"task": "Nightly", "scheduled_for": "tomorrow"}, Invalid, "scheduled_for"),
        ({"task": "Nightly", "scheduled_for": "1969-12-31T23:59:59Z"}, Invalid, "scheduled_for"),
        ({"task": "Nightly", "scheduled_for": "0001-01-01T00:00:00+14:00"}, Invalid, "scheduled_for"),
        ({"task": "Nightly", "trigger": "schedule", "scheduled_for": "1969-12-31T23:59:00Z"}, Invalid, "scheduled_for"),
        ({"task": "Nightly", "event_id": "x" * 3_000}, Invalid, "event_id"),
    ],
)
def test_an_event_that_cannot_be_understood_says_why(
    stage: Stage, event: dict[str, Any], error: type[Exception], field: str | None
) -> None:
    quiet_task(stage)
    with pytest.raises(error) as caught:
        fire(event, invocation_id="i", now=stage.now)
    assert caught.value.field == field
    assert stage.jobs() == []


def test_what_the_kind_refuses_of_a_start_by_hand_it_refuses_of_an_event(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = quiet_task(stage, parameters={"region": "eu"})
    asked = []

    def check(self: Any, spec: Any, parameters: Any, *, has_window: bool, complete: bool, **_: Any) -> None:
        asked.append((dict(parameters), complete))
        raise Invalid("The report has no parameter named colour.", field="parameters.colour")

    monkeypatch.setattr(type(kind_of(task.kind)), "check_parameters", check)
    with pytest.raises(Invalid) as refused:
        fire({"task": "Nightly", "parameters": {"colour": "white"}}, invocation_id="i", now=stage.now)
    assert refused.value.field == "parameters.colour"
    assert asked == [({"region": "eu", "colour": "white"}, True)]
    assert stage.jobs() == []


def test_a_name_that_two_tasks_have_is_refused(stage: Stage) -> None:
    quiet_task(stage)
    quiet_task(stage)
    with pytest.raises(Invalid, match="2 tasks"):
        fire({"task": "Nightly"}, invocation_id="i", now=stage.now)
