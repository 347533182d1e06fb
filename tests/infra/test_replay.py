"""`make replay`: events that `fire` gave up on start their jobs, once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus
from chalicelib.tasks import events, starts
from infra import replay
from tests.support.simulator import Stage

PARAMETERS = {"region": "eu"}
EVENTS: dict[str, dict[str, Any]] = {
    "a constant input": {"task": "Nightly", "parameters": PARAMETERS},
    "an input with the event's id": {"task": "Nightly", "parameters": PARAMETERS, "event_id": "e-1"},
    "an event passed on": {"id": "e-1", "time": "2026-03-02T08:59:00Z", "detail": {"task": "Nightly"}},
}


@pytest.fixture
def failures(stage: Stage) -> str:
    url: str = stage.world.client("sqs").create_queue(QueueName="failures")["QueueUrl"]
    return url


def given_up(stage: Stage, queue_url: str, event: dict[str, Any], *, invocation_id: str = "i-1") -> None:
    """Lambda's record of an event that it tried three times."""
    record = {
        "version": "1.0",
        "timestamp": "2026-03-02T09:03:10.000Z",
        "requestContext": {"requestId": invocation_id, "condition": "RetriesExhausted", "approximateInvokeCount": 3},
        "requestPayload": event,
        "responsePayload": {"errorMessage": "a service did not answer"},
    }
    stage.world.client("sqs").send_message(QueueUrl=queue_url, MessageBody=json.dumps(record))


def replayed(stage: Stage, queue_url: str) -> replay.Replayed:
    def fire(event: dict[str, Any]) -> dict[str, Any]:
        try:
            job = events.fire(event, invocation_id="another", now=stage.now)
        except Exception as error:
            raise ValueError(str(error)) from error
        return {} if job is None else {"job_id": job.job_id}

    return replay.replay(stage.world.client("sqs"), queue_url, fire)


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_an_event_starts_the_job_that_its_first_delivery_would_have(
    stage: Stage, failures: str, monkeypatch: pytest.MonkeyPatch, event: dict[str, Any]
) -> None:
    stage.task(enabled=False, name="Nightly")

    def token_not_sent(*_: Any, **__: Any) -> Any:
        raise RuntimeError("SQS does not answer")

    # The first delivery puts the job and dies before its token: a replay must find that job, not make another.
    with monkeypatch.context() as patch:
        patch.setattr(starts, "send_token", token_not_sent)
        with pytest.raises(RuntimeError):
            events.fire(event, invocation_id="i-1", now=stage.now)
    [put] = stage.jobs()
    given_up(stage, failures, event)
    stage.world.forward(days=13)
    result = replayed(stage, failures)
    assert result.done == [{"job_id": put.job_id}]
    stage.deliver()
    assert [(job.job_id, job.status) for job in stage.jobs()] == [(put.job_id, JobStatus.SUCCEEDED)]
    assert replayed(stage, failures) == replay.Replayed(), "the queue is empty"


def test_an_event_without_a_time_covers_the_time_at_which_it_failed(stage: Stage, failures: str) -> None:
    stage.task(enabled=False, name="Nightly")
    given_up(stage, failures, {"task": "Nightly"})
    stage.world.forward(days=3)
    replayed(stage, failures)
    [job] = stage.jobs()
    assert job.scheduled_for.isoformat() == "2026-03-02T09:03:10+00:00"


def test_an_event_that_is_refused_again_stays_and_does_not_hold_back_the_others(stage: Stage, failures: str) -> None:
    stage.task(enabled=False, name="Nightly")
    given_up(stage, failures, {"task": "Unknown"}, invocation_id="i-1")
    stage.world.client("sqs").send_message(QueueUrl=failures, MessageBody="no record")
    given_up(stage, failures, {"task": "Nightly"}, invocation_id="i-2")
    result = replayed(stage, failures)
    assert len(result.done) == 1
    assert "There is no task 'Unknown'." in result.refused[0]
    assert len(result.refused) == 2
    assert len(replayed(stage, failures).refused) == 2, "they are visible at once"


def test_an_event_is_known_as_long_as_its_failure_is_kept() -> None:
    assert timedelta(days=14) < events.KEPT
