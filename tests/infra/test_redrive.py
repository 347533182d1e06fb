from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.aws import sqs
from infra import redrive, stack
from tests.support.simulator import Stage, body_of
from tests.support.world import World


@pytest.fixture
def dead(world: World) -> str:
    return str(world.client("sqs").create_queue(QueueName="carillon-test-dead")["QueueUrl"])


def test_every_dead_letter_is_sent_to_work_again(world: World, dead: str) -> None:
    client = world.client("sqs")
    bodies = [sqs.body(sqs.Token("cloud", f"job-{number}")) for number in range(23)]
    for body in bodies:
        client.send_message(QueueUrl=dead, MessageBody=body)
    assert redrive.redrive(client, dead, world.queue_url) == 23
    assert sorted(json.dumps(each, separators=(",", ":")) for each in world.messages()) == sorted(bodies)
    assert redrive.redrive(client, dead, world.queue_url) == 0


def test_a_job_whose_token_was_given_up_on_runs_after_a_redrive(stage: Stage, dead: str) -> None:
    stage.task()
    stage.tick()
    (job,) = stage.open_jobs()
    stage.messages.clear()
    client = stage.world.client("sqs")
    client.send_message(QueueUrl=dead, MessageBody=body_of(job))
    redrive.redrive(client, dead, stage.world.queue_url)
    stage.world.now = job.not_before
    for body in [each["Body"] for each in received(client, stage.world.queue_url)]:
        stage.work(body)
    assert [each.status for each in stage.jobs()] == ["succeeded"]


def received(client: Any, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return found


class Refusing:
    """An SQS that takes the first message of a batch only."""

    def __init__(self, client: Any):
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.client.send_message_batch(QueueUrl=QueueUrl, Entries=Entries[:1])
        return {"Successful": [{"Id": "0"}], "Failed": [{"Id": each["Id"]} for each in Entries[1:]]}


def test_what_sqs_refuses_stays_in_the_dead_letter_queue(
    world: World, dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive, "HIDDEN_SECONDS", 0)
    client = world.client("sqs")
    for number in range(3):
        client.send_message(QueueUrl=dead, MessageBody=str(number))
    with pytest.raises(stack.DeployProblem, match="refused 2 messages"):
        redrive.redrive(Refusing(client), dead, world.queue_url)
    assert len(received(client, dead)) == 2
