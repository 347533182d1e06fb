"""A tick while a service fails: what fails costs its own task a minute at most, and no other task anything."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus
from chalicelib.errors import FiringIncomplete
from chalicelib.scheduling import tick
from chalicelib.store import tasks as task_store
from chalicelib.store.task_record import TaskRecord
from tests.support.failing import failing, timed_out
from tests.support.simulator import Stage, body_of

TASKS = 43
AT_ONE = {"type": "cron", "expression": "1 9 * * *"}


def due(stage: Stage, count: int = TASKS) -> list[TaskRecord]:
    """Tasks whose slot is a minute ahead; saving them planned none."""
    tasks = [stage.task(schedule=AT_ONE | {"expression": "5 9 * * *"}) for _ in range(count)]
    stage.world.forward(seconds=240)
    return tasks


def tokens(stage: Stage) -> list[str]:
    stage.collect()
    return sorted(message.body for message in stage.messages)


def expected(stage: Stage, *, without: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    return sorted(body_of(job) for job in stage.jobs() if job.task_id not in without)


def test_one_throttled_write_holds_back_no_other_token(stage: Stage) -> None:
    tasks = due(stage)
    unlucky = tasks[7].task_id
    with (
        failing("dynamodb", "PutItem", containing=unlucky),
        pytest.raises(FiringIncomplete, match="1 of 43"),
    ):
        stage.tick()
    assert len(tokens(stage)) == TASKS - 1
    fired = stage.tick()
    assert (fired.tasks, fired.slots, fired.left) == (1, 1, 0)
    assert tokens(stage) == expected(stage)
    assert len(stage.jobs()) == TASKS


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem", "Query", "BatchGetItem"])
def test_a_call_throttled_once_is_tried_again(stage: Stage, operation: str) -> None:
    due(stage)
    with failing("dynamodb", operation, times=1) as failed:
        fired = stage.tick()
    assert failed.failed == 1
    assert (fired.tasks, fired.slots, fired.left) == (TASKS, TASKS, 0)
    assert tokens(stage) == expected(stage)


def test_a_token_refused_once_is_sent_again(stage: Stage) -> None:
    due(stage)
    with failing("sqs", "SendMessageBatch", times=1) as failed:
        stage.tick()
    assert failed.failed == 1
    assert tokens(stage) == expected(stage)


def test_the_tries_of_a_call_are_bounded(stage: Stage) -> None:
    [task] = due(stage, 1)
    with failing("dynamodb", "PutItem", containing=task.task_id) as failed, pytest.raises(FiringIncomplete):
        stage.tick()
    assert failed.failed == 3


def test_a_job_is_sent_although_its_task_cannot_be_moved_past_it(stage: Stage) -> None:
    tasks = due(stage, 3)
    with failing("dynamodb", "UpdateItem", containing=tasks[1].task_id), pytest.raises(FiringIncomplete):
        stage.tick()
    assert len(stage.jobs()) == 3
    assert tokens(stage) == expected(stage)
    stage.world.forward(seconds=60)
    stage.tick()
    stage.deliver()
    assert [job.status for job in stage.jobs()] == [JobStatus.SUCCEEDED] * 3
    assert {task_store.get(task.task_id).previous_fire_at for task in tasks} == {stage.jobs()[0].scheduled_for}


def test_the_token_of_a_job_goes_out_whose_write_timed_out_after_its_effect(stage: Stage) -> None:
    [task] = due(stage, 1)
    with failing("dynamodb", "PutItem", containing=task.task_id, error=timed_out(), times=1, after=True) as failed:
        stage.tick()
    assert failed.failed == 1
    assert len(tokens(stage)) == 1 == len(stage.jobs())


def test_an_index_that_cannot_be_read_holds_back_its_own_shard_only(stage: Stage) -> None:
    tasks = due(stage)
    unread = {task.task_id for task in tasks if task_store.shard(task.task_id) == 2}
    assert 0 < len(unread) < TASKS
    with failing("dynamodb", "Query", containing='{"N": "2"}'), pytest.raises(FiringIncomplete):
        stage.tick()
    assert {job.task_id for job in stage.jobs()} == {task.task_id for task in tasks} - unread
    assert tokens(stage) == expected(stage)


def test_a_task_that_cannot_be_read_holds_back_no_other(stage: Stage) -> None:
    tasks = due(stage, 5)
    key = {"task_id": {"S": tasks[2].task_id}}
    stage.world.client("dynamodb").update_item(
        TableName=TaskRecord.Meta.table_name,
        Key=key,
        UpdateExpression="SET created_at = :wrong",
        ExpressionAttributeValues={":wrong": {"S": "no instant"}},
    )
    with pytest.raises(FiringIncomplete, match="1 of 5"):
        stage.tick()
    assert len(tokens(stage)) == 4


def test_tokens_that_cannot_be_sent_are_left_to_sweep(stage: Stage) -> None:
    due(stage, 3)
    with failing("sqs", "SendMessageBatch"), pytest.raises(FiringIncomplete, match="3 tokens"):
        stage.tick()
    assert tokens(stage) == []
    stage.minutes(4)
    assert [job.status for job in stage.jobs()] == [JobStatus.SUCCEEDED] * 3


def test_tokens_go_out_while_other_tasks_are_still_planned(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    due(stage)
    monkeypatch.setattr(tick, "THREADS", 1)
    monkeypatch.setattr(tick, "OUTBOX_SECONDS", 600)
    done: list[str] = []
    put, send = tick.record, tick.sqs.send

    def noted_put(*given: Any, **named: Any) -> Any:
        done.append("put")
        return put(*given, **named)

    def noted_send(tokens: Any, **named: Any) -> None:
        done.append(f"sent {len(tokens)}")
        send(tokens, **named)

    monkeypatch.setattr(tick, "record", noted_put)
    monkeypatch.setattr(tick.sqs, "send", noted_send)
    stage.tick()
    sent = [at for at, what in enumerate(done) if what == "sent 10"]
    assert sent == [10, 21, 32, 43], "each ten as soon as they are there"
    assert done[-1] == "sent 3"


def test_what_a_tick_leaves_to_the_next_is_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    due(stage)
    monkeypatch.setattr(tick, "SLOTS_PER_TICK", 40)
    fired = stage.tick()
    assert (fired.tasks, fired.slots, fired.left) == (TASKS, 40, 3)
    assert '"left":3' in capsys.readouterr().out
