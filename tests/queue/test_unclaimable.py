"""A job that cannot be claimed stops no other: workers go on behind it, and after the third try it ends failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import UpdateError

from chalicelib.core.invariants.table import broken
from chalicelib.core.lifecycle import JobStatus, Reason
from chalicelib.errors import FiringIncomplete
from chalicelib.jobs import actions
from chalicelib.maintenance import integrity
from chalicelib.queue import unclaimable
from chalicelib.store import base, jobs
from chalicelib.store.job_record import JobRecord
from chalicelib.tasks import editing
from tests.support.exact_sizes import exact_sizes
from tests.support.large_records import fill_up
from tests.support.later_version import write_as_a_later_version
from tests.support.simulator import OPERATOR, PROBE, Stage, body_of
from tests.support.world import World

DUE = {"type": "cron", "expression": "1 9 * * *"}


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact_sizes():
        yield


def poisoned(stage: Stage, **changes: Any) -> JobRecord:
    """A waiting job at the head of the queue whose record has room for five bytes more."""
    task = stage.task(**({"schedule": DUE, "priority": 5_000} | changes))
    stage.tick()
    [job] = [job for job in stage.jobs() if job.task_id == task.task_id]
    return fill_up(job, leaving=5)


def test_the_jobs_behind_one_that_cannot_be_claimed_are_claimed(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    others = {stage.task(schedule=DUE).task_id for _ in range(4)}
    bad = poisoned(stage)
    stage.world.forward(seconds=60)
    stage.deliver()
    assert {jobs.get(job_id).task_id for job_id in PROBE.runs} == others
    ended = jobs.get(bad.job_id)
    assert (ended.status, ended.reason, ended.run_no) == (JobStatus.FAILED, Reason.UNCLAIMABLE, 0)
    assert "could not be claimed 3 times" in ended.error
    assert "400 KB" in ended.error
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    alarming = [line for line in lines if line.get("reason") == Reason.UNCLAIMABLE and line["level"] == "ERROR"]
    assert [line["job_id"] for line in alarming] == [bad.job_id]
    assert stage.open_jobs() == []


def test_a_job_that_cannot_be_claimed_ends_also_where_it_is_alone(stage: Stage) -> None:
    bad = poisoned(stage)
    stage.minutes(8)
    ended = jobs.get(bad.job_id)
    assert (ended.status, ended.reason) == (JobStatus.FAILED, Reason.UNCLAIMABLE)
    facts = integrity.read(bad.job_id, now=stage.now)
    assert facts is not None
    assert broken(facts) == []


def test_a_job_that_cannot_be_claimed_can_be_cancelled(stage: Stage) -> None:
    bad = poisoned(stage)
    actions.cancel(bad.job_id, actor=OPERATOR, now=stage.now, mark="m")
    ended = jobs.get(bad.job_id)
    assert (ended.status, ended.reason) == (JobStatus.CANCELED, Reason.BY_USER)


def test_deleting_the_task_of_such_a_job_leaves_no_job_waiting(stage: Stage) -> None:
    planned, due = poisoned(stage, name="planned"), poisoned(stage, name="due")
    editing.delete(planned.task_id, actor=OPERATOR, now=stage.now)
    assert jobs.get(planned.job_id).status == JobStatus.CANCELED
    stage.world.forward(seconds=60)
    editing.delete(due.task_id, actor=OPERATOR, now=stage.now)
    stage.minutes(8)
    assert jobs.get(due.job_id).reason == Reason.UNCLAIMABLE


def test_a_job_whose_admission_fails_leaves_the_queue_too(stage: Stage) -> None:
    """One cause of many: a policy that this version does not know."""
    bad = poisoned(stage)
    stage.task(schedule=DUE)
    stage.tick()
    JobRecord(bad.job_id).update([JobRecord.spec.set({}), JobRecord.overlap.set("of_a_later_version")])
    stage.world.forward(seconds=60)
    stage.minutes(8)
    assert jobs.get(bad.job_id).reason == Reason.UNCLAIMABLE
    assert len(PROBE.runs) == 1


def test_the_tries_of_a_job_that_was_claimed_at_last_are_counted_anew(stage: Stage) -> None:
    task = stage.task(schedule={"type": "now"})
    [job] = stage.jobs()
    for _ in range(2):
        unclaimable.note_failure(job.job_id, ValueError("odd"), now=stage.now)
    stage.deliver()
    assert jobs.get(job.job_id).status == JobStatus.SUCCEEDED, task.task_id
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    for _ in range(2):
        unclaimable.note_failure(job.job_id, ValueError("odd"), now=stage.now)
    assert jobs.get(job.job_id).status == JobStatus.WAITING


@contextmanager
def throttled(times: int) -> Iterator[None]:
    left = [times]

    def throttle(params: dict[str, Any], **_: Any) -> None:
        if left[0] and params["TableName"].endswith("-jobs"):
            left[0] -= 1
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "UpdateItem")

    events = base.client().meta.events
    events.register("before-parameter-build.dynamodb.UpdateItem", throttle, unique_id="throttle")
    try:
        yield
    finally:
        events.unregister("before-parameter-build.dynamodb.UpdateItem", unique_id="throttle")


def test_an_error_of_a_service_is_not_held_against_the_job(stage: Stage) -> None:
    stage.task(schedule={"type": "now"})
    [job] = stage.jobs()
    with throttled(5):
        for _ in range(5):
            with pytest.raises((UpdateError, ClientError)):
                stage.work(body_of(job))
    stage.work(body_of(job))
    assert jobs.get(job.job_id).status == JobStatus.SUCCEEDED


@pytest.mark.parametrize("alone", [True, False])
def test_a_job_whose_record_cannot_be_read_stops_no_other(stage: Stage, world: World, alone: bool) -> None:
    """A later version wrote it, and was taken back. Where it is alone, it is the sweep that ends it."""
    task = stage.task(schedule=DUE, priority=5_000)
    others = [] if alone else [stage.task(schedule=DUE).task_id for _ in range(3)]
    stage.tick()
    [bad] = [job.job_id for job in stage.jobs() if job.task_id == task.task_id]
    write_as_a_later_version(bad)
    stage.world.forward(seconds=60)
    stage.deliver()
    for _ in range(3):
        stage.world.forward(seconds=61)
        with suppress(FiringIncomplete):
            stage.sweep()
    assert sorted(jobs.get(job_id).task_id for job_id in PROBE.runs) == sorted(others)
    [item] = [item for item in world.items("jobs") if item["job_id"] == bad]
    assert (item["status"], item["reason"]) == ("failed", "unclaimable")
    assert not {"ready_pool", "lease_until", "active_task"} & set(item)


def test_a_job_that_cannot_be_read_is_not_held_against_the_next_of_its_task(stage: Stage) -> None:
    """Overlap is asked of the task's other jobs, and an end wakes those that wait for it."""
    task = stage.task(schedule={"type": "cron", "expression": "1,2 9 * * *"}, overlap="buffer_all")
    stage.tick()
    [bad] = stage.jobs()
    write_as_a_later_version(bad.job_id)
    stage.world.forward(seconds=60)
    stage.tick()
    stage.world.forward(seconds=60)
    stage.deliver()
    [next_one] = [job_id for job_id in PROBE.runs if job_id != bad.job_id]
    ended = jobs.get(next_one)
    assert (ended.status, ended.task_id) == (JobStatus.SUCCEEDED, task.task_id)
