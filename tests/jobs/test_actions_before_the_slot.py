"""Actions on jobs whose slot is still to come: nothing starts before its slot, and no slot starts twice."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chalicelib.core.lifecycle import JobStatus
from chalicelib.errors import WrongState
from chalicelib.jobs import actions
from chalicelib.store import jobs as store
from chalicelib.store import tasks
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import editing
from tests.support.simulator import OPERATOR, Stage

FIVE_PAST = {"type": "cron", "expression": "5 * * * *"}
SLOT = datetime(2026, 3, 2, 9, 5, tzinfo=UTC)


def planned(stage: Stage) -> tuple[TaskRecord, str]:
    """A task, and its job planned 40 s ahead."""
    task = stage.task(schedule=FIVE_PAST, window={"type": "since_previous_fire"})
    stage.world.now = datetime(2026, 3, 2, 9, 4, 20, tzinfo=UTC)
    stage.tick()
    [job] = stage.jobs()
    return task, job.job_id


def test_a_rerun_waits_for_the_slot(stage: Stage) -> None:
    _, job_id = planned(stage)
    actions.cancel(job_id, actor=OPERATOR, now=stage.now)
    job = actions.rerun(job_id, actor=OPERATOR, now=stage.now)
    assert (job.not_before, job.enqueued_at) == (SLOT, SLOT)
    stage.deliver()
    stage.sweep()
    stage.deliver()
    assert store.get(job_id).status == JobStatus.WAITING
    stage.minutes(2)
    done = store.get(job_id)
    assert (done.status, done.started_at, done.lateness_seconds) == (JobStatus.SUCCEEDED, SLOT, 0)


def test_a_rerun_whose_token_is_lost_starts_soon_after_the_slot(stage: Stage) -> None:
    _, job_id = planned(stage)
    actions.cancel(job_id, actor=OPERATOR, now=stage.now)
    actions.rerun(job_id, actor=OPERATOR, now=stage.now)
    stage.collect()
    stage.messages.clear()
    stage.minutes(4)
    assert store.get(job_id).started_at >= SLOT


def test_the_job_of_a_slot_to_come_is_not_deleted(stage: Stage) -> None:
    task, job_id = planned(stage)
    actions.cancel(job_id, actor=OPERATOR, now=stage.now)
    with pytest.raises(WrongState, match="still to come, 2026-03-02T09:05:00Z"):
        actions.delete(job_id, actor=OPERATOR, now=stage.now)
    editing.patch(task.task_id, {"description": "edited"}, revision=None, actor=OPERATOR, now=stage.now)
    stage.minutes(3)
    assert [job.status for job in stage.jobs()] == [JobStatus.CANCELED]
    actions.delete(job_id, actor=OPERATOR, now=stage.now)
    stage.minutes(2)
    assert stage.jobs() == []


def test_the_job_of_a_slot_that_its_task_has_not_moved_past_is_not_deleted(stage: Stage) -> None:
    """A tick put the job and died before it moved the task."""
    task, job_id = planned(stage)
    stage.world.now = SLOT
    stage.deliver()
    record = tasks.get(task.task_id)
    record.next_fire_at = SLOT
    record.save()
    with pytest.raises(WrongState, match="being planned"):
        actions.delete(job_id, actor=OPERATOR, now=stage.now)
    stage.minutes(1)
    actions.delete(job_id, actor=OPERATOR, now=stage.now)
    stage.minutes(1)
    assert len(stage.probe.runs) == 1
