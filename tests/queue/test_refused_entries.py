"""A batch call of which SQS or EventBridge refuses a part is not taken for done."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.aws import rules, sqs
from chalicelib.aws.batches import TRIES
from chalicelib.aws.clients import client
from chalicelib.errors import Unavailable
from tests.support.partial import refusing
from tests.support.world import World

TOKENS = [sqs.Token("cloud", f"job-{number}") for number in range(12)]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.clock.pause", lambda longest: None)


def test_a_refused_token_is_sent_again_alone(world: World) -> None:
    with refusing(client("sqs"), "SendMessageBatch", times=1) as refuser:
        sqs.send([(token, world.now) for token in TOKENS], now=world.now)
    assert refuser.calls == [10, 1, 2]
    assert sorted(message["job"] for message in world.messages()) == sorted(token.job_id for token in TOKENS)


def test_a_token_that_is_refused_again_and_again_is_raised(world: World) -> None:
    with refusing(client("sqs"), "SendMessageBatch") as refuser, pytest.raises(Unavailable, match="1 of 2 entries"):
        sqs.send([(token, world.now + timedelta(seconds=5)) for token in TOKENS[:2]], now=world.now)
    assert refuser.calls == [2, *[1] * (TRIES - 1)]


def test_the_next_step_of_a_batch_that_sqs_refuses_is_raised(world: World) -> None:
    with refusing(client("sqs"), "SendMessageBatch"), pytest.raises(Unavailable):
        sqs.send_step("B1")


def test_a_rule_whose_target_is_refused_is_not_put(world: World) -> None:
    rule = rules.Rule("rate(1 hour)", enabled=True)
    with refusing(client("events"), "PutTargets"), pytest.raises(Unavailable):
        rules.put("T1", rule)
    rules.put("T1", rule)
    assert rules.find("T1") == rule


def test_a_rule_whose_target_stays_is_not_taken_for_deleted(world: World) -> None:
    rules.put("T1", rules.Rule("rate(1 hour)", enabled=True))
    with refusing(client("events"), "RemoveTargets"), pytest.raises(Unavailable):
        rules.delete("T1")
    rules.delete("T1")
    assert rules.find("T1") is None
