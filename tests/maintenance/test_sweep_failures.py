"""A sweep while a service fails, or a record cannot be read: the others have their turn."""

from __future__ import annotations

from contextlib import suppress

import pytest

from chalicelib.core.lifecycle import JobStatus
from chalicelib.errors import FiringIncomplete
from chalicelib.maintenance import integrity, sweep
from chalicelib.store import jobs as job_store
from chalicelib.store.job_record import JobRecord
from tests.support.failing import failing, timed_out
from tests.support.probe import started
from tests.support.simulator import Stage, body_of


def lost_tokens(stage: Stage, count: int) -> list[JobRecord]:
    made = [started(stage) for _ in range(count)]
    stage.messages.clear()
    stage.world.forward(seconds=61)
    return made


def sent(stage: Stage) -> list[str]:
    stage.collect()
    return sorted(message.body for message in stage.messages)


def test_a_shard_that_cannot_be_read_holds_back_no_other(stage: Stage) -> None:
    made = lost_tokens(stage, 12)
    unread = [job for job in made if job.lease_shard == 1]
    assert 0 < len(unread) < len(made)
    with failing("dynamodb", "Query", containing='{"N": "1"}'), pytest.raises(FiringIncomplete, match="1 repairs"):
        stage.sweep()
    assert sent(stage) == sorted(body_of(job) for job in made if job not in unread)
    stage.sweep()
    assert sent(stage) == sorted(body_of(job) for job in made)


@pytest.mark.parametrize("operation", ["GetItem", "UpdateItem"])
def test_a_call_without_an_answer_holds_back_one_job(stage: Stage, operation: str) -> None:
    made = lost_tokens(stage, 3)
    with (
        failing("dynamodb", operation, containing=made[1].job_id, error=timed_out()),
        pytest.raises(FiringIncomplete),
    ):
        stage.sweep()
    assert sent(stage) == sorted(body_of(made[at]) for at in (0, 2))


def test_walks_that_cannot_begin_hold_back_no_repair(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    [job] = lost_tokens(stage, 1)

    def unanswered(**_: object) -> None:
        raise timed_out()

    monkeypatch.setattr(sweep.integrity, "begin", unanswered)
    with pytest.raises(FiringIncomplete):
        stage.sweep()
    assert sent(stage) == [body_of(job)]


def test_a_job_that_cannot_be_read_does_not_hold_up_the_walk_of_the_integrity_check(stage: Stage) -> None:
    unreadable, broken = started(stage), started(stage)
    stage.world.client("dynamodb").update_item(
        TableName=JobRecord.Meta.table_name,
        Key={"job_id": {"S": unreadable.job_id}},
        UpdateExpression="SET created_at = :wrong",
        ExpressionAttributeValues={":wrong": {"S": "no instant"}},
    )
    broken.update([JobRecord.rank.set(7)])
    stage.world.now = stage.now.replace(minute=integrity.MINUTE)
    with suppress(FiringIncomplete):
        stage.sweep()
    repaired = job_store.get(broken.job_id)
    assert repaired.rank != 7
    assert repaired.status == JobStatus.WAITING
