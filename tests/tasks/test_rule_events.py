from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus, Reason, Trigger
from chalicelib.errors import Unavailable
from chalicelib.store import tasks as store
from chalicelib.tasks import editing as task_editing
from chalicelib.tasks.events import fire
from tests.support import rule_console as console
from tests.support.rule_console import a_task, minute, told, told_late
from tests.support.simulator import OPERATOR, Stage


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-02T{text}").replace(tzinfo=UTC)


def slots(stage: Stage) -> list[tuple[str, str]]:
    return [(job.scheduled_for.strftime("%H:%M:%S"), job.status) for job in stage.jobs()]


def patch(stage: Stage, task: Any, **changes: Any) -> None:
    task_editing.patch(task.task_id, changes, revision=None, actor=OPERATOR, now=stage.now)


def test_the_rule_reports_a_slot_and_its_job_runs(stage: Stage) -> None:
    task = a_task(stage)
    minute(stage, task)
    [job] = stage.jobs()
    assert (job.scheduled_for, job.status, job.trigger, job.operator) == (
        at("09:01:00"), JobStatus.SUCCEEDED, Trigger.SCHEDULE, None,
    )  # fmt: skip
    assert store.get(task.task_id).previous_fire_at == at("09:01:00")


def test_the_tick_plans_no_slot_that_a_rule_reports(stage: Stage) -> None:
    task = a_task(stage)
    stage.minutes(3)
    assert stage.jobs() == []
    assert store.get(task.task_id).next_fire_at is None


def test_an_event_delivered_twice_is_one_job(stage: Stage) -> None:
    task = a_task(stage)
    first = minute(stage, task)
    stage.world.forward(minutes=30)
    again = told(stage, task, at("09:01:05"), event_id="another")
    assert first is not None
    assert again is not None
    assert first.job_id == again.job_id
    assert len(stage.runs()) == 1


def test_a_change_of_trigger_and_back_makes_one_job_of_each_slot(stage: Stage) -> None:
    task = stage.task()
    stage.minutes(2)
    # Two seconds after the slot: the tick has planned the next one already.
    stage.world.forward(seconds=2)
    patch(stage, task, trigger="eventbridge")
    for _ in range(2):
        minute(stage, task)
    patch(stage, task, trigger="tick")
    told_late(stage, task, stage.now - timedelta(seconds=15))
    stage.world.now = stage.now.replace(second=0) + timedelta(minutes=1)
    stage.minutes(2)
    found = [(job.scheduled_for.minute, job.status) for job in stage.jobs() if job.status != JobStatus.WAITING]
    assert found == [(number, JobStatus.SUCCEEDED) for number in range(1, 7)]
    assert console.names(stage) == []


def test_a_slot_whose_event_had_not_come_before_an_edit_is_recorded(stage: Stage) -> None:
    task = a_task(stage, parameters={"colour": "red"})
    stage.world.now = at("09:01:10")
    patch(stage, task, parameters={"colour": "blue"}, schedule={"type": "cron", "expression": "30 9 * * *"})
    told(stage, task, at("09:01:30"))
    stage.deliver()
    [job] = stage.jobs()
    assert (job.scheduled_for, job.status) == (at("09:01:00"), JobStatus.SUCCEEDED)
    assert job.parameters == {"colour": "red"}


def test_slots_that_eventbridge_never_reported_are_missed(stage: Stage) -> None:
    task = a_task(stage)
    stage.world.now = at("09:05:20")
    told(stage, task, at("09:05:05"))
    stage.deliver()
    assert slots(stage) == [
        ("09:01:00", JobStatus.MISSED),
        ("09:02:00", JobStatus.MISSED),
        ("09:03:00", JobStatus.MISSED),
        # The latest that is past its grace of 60 s.
        ("09:04:00", JobStatus.SUCCEEDED),
        ("09:05:00", JobStatus.SUCCEEDED),
    ]


@pytest.mark.parametrize("late", [timedelta(minutes=2), timedelta(hours=3)])
def test_the_misfire_policy_applies_to_a_late_event(stage: Stage, late: timedelta) -> None:
    task = a_task(stage, misfire="skip", schedule={"type": "interval", "every": 1, "unit": "hour"})
    stage.world.now = at("10:00:00") + late
    job = told(stage, task, at("10:00:20"))
    assert job is not None
    assert (job.status, job.reason) == (JobStatus.MISSED, Reason.MISFIRE)


def test_windows_since_the_previous_fire_tile_also_when_events_come_out_of_order(stage: Stage) -> None:
    every = {"type": "interval", "every": 1, "unit": "minute"}
    task = a_task(stage, schedule=every, window={"type": "since_previous_fire"}, overlap="allow_all")
    stage.world.now = at("09:03:50")
    for instant in ("09:01:40", "09:03:40", "09:02:40"):
        told(stage, task, at(instant), event_id=instant)
    first, overtaken, third = stage.jobs()
    assert (first.window_start, first.window_end) == (task.created_at, at("09:01:00"))
    assert (third.window_start, third.window_end) == (at("09:01:00"), at("09:03:00"))
    # The time before the event that came last is covered already.
    assert (overtaken.status, overtaken.reason) == (JobStatus.SKIPPED, Reason.EMPTY_WINDOW)
    assert store.get(task.task_id).previous_fire_at == at("09:03:00")


def test_the_overlap_policy_applies(stage: Stage) -> None:
    task = a_task(stage, overlap="skip")
    stage.world.now = at("09:01:20")
    told(stage, task, at("09:01:05"))
    stage.collect()
    stage.messages.clear()
    stage.world.now = at("09:02:05")
    told(stage, task, at("09:02:01"), event_id="e-2")
    stage.deliver()
    assert slots(stage)[1] == ("09:02:00", JobStatus.SKIPPED)


def test_a_disabled_task_starts_nothing(stage: Stage) -> None:
    task = a_task(stage)
    task_editing.disable(task.task_id, actor=OPERATOR, now=stage.now)
    # EventBridge may fire a disabled rule for another minute.
    stage.world.now = at("09:01:20")
    assert told(stage, task, at("09:01:05")) is None
    assert stage.jobs() == []


def test_a_rule_that_outlived_its_task_starts_nothing(stage: Stage) -> None:
    task = a_task(stage)
    task_editing.delete(task.task_id, actor=OPERATOR, now=stage.now)
    assert told_late(stage, task, at("09:01:05")) is None


def test_a_rule_that_cannot_be_read_still_fires(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    task = a_task(stage)
    stage.world.now = at("09:01:20")

    def silent(task_id: str) -> None:
        raise Unavailable

    monkeypatch.setattr("chalicelib.aws.rules.find", silent)
    job = told(stage, task, at("09:01:05"))
    assert job is not None
    assert job.status == JobStatus.WAITING


def test_a_rule_made_by_hand_for_such_a_task_starts_jobs_of_its_own(stage: Stage) -> None:
    task = a_task(stage)
    minute(stage, task)
    job = fire({"task": task.task_id, "event_id": "by hand"}, invocation_id="i", now=stage.now)
    assert job is not None
    assert job.trigger == Trigger.EVENT
    assert len(stage.jobs()) == 2
