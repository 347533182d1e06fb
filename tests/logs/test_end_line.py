"""The line that says why a job ended when no run of it was at work."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus
from chalicelib.errors import ConnectionDropped, QueryFailed
from chalicelib.jobs import actions
from chalicelib.logs import end_line
from chalicelib.logs import reader as log_reader
from chalicelib.store import jobs as job_store
from chalicelib.store.job_record import JobRecord
from tests.support.probe import raising, started
from tests.support.run_logs import expire, messages, pages, traffic
from tests.support.simulator import OPERATOR, PROBE, Stage


def waited_too_long(stage: Stage) -> JobRecord:
    job = started(stage, queue_wait_limit_seconds=120)
    stage.messages.clear()
    stage.world.forward(seconds=121)
    stage.sweep()
    return job


def canceled(stage: Stage) -> JobRecord:
    job = started(stage)
    actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)
    return job


def missed(stage: Stage) -> JobRecord:
    task = stage.task(schedule={"type": "cron", "expression": "20 9 * * *"}, misfire="skip")
    stage.world.forward(minutes=30)
    stage.tick()
    return next(job for job in stage.jobs() if job.task_id == task.task_id and job.status == JobStatus.MISSED)


def overlapped(stage: Stage) -> JobRecord:
    stage.task(overlap="skip")
    for _ in range(2):
        stage.tick()
        stage.world.forward(seconds=60)
    for message in list(stage.messages)[::-1]:
        stage.work(message.body)
    return next(job for job in stage.jobs() if job.status == JobStatus.SKIPPED)


ENDINGS = [
    (waited_too_long, "WARN", "Waited longer than the queue wait limit of 120 s."),
    (canceled, "WARN", "Cancelled by olga while waiting."),
    (missed, "WARN", "missed: misfire"),
    (overlapped, "INFO", "had not ended."),
]


@pytest.mark.parametrize(("ending", "level", "message"), ENDINGS)
def test_the_log_says_why_a_job_ended_without_a_run_and_that_costs_no_write(
    stage: Stage, ending: Any, level: str, message: str
) -> None:
    with traffic() as counted:
        job = ending(stage)
    (line,) = pages(job, run=0)
    assert (line["sequence"], line["type"], line["level"]) == (1, "end", level)
    assert line["message"].endswith(message)
    assert len(pages(job, run=0, level="alert")) == (level == "WARN")
    assert counted.count("PutItem") == counted.count("PutObject") == 0 or ending is overlapped
    after, cursor = log_reader.read_page(job.job_id, cursor="0-1")
    assert (after, cursor) == ([], None)


def test_a_rerun_keeps_why_the_job_had_ended_without_a_run(stage: Stage) -> None:
    job = canceled(stage)
    before = pages(job, run=0)
    for _ in range(2):
        end_line.write(job_store.get(job.job_id), now=stage.now)
    assert pages(job, run=0) == before
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    assert pages(job, run=0) == before
    assert pages(job, run=0, level="alert") == before
    assert messages(job)[-1] == "done"


@pytest.mark.parametrize("again", [False, True])
def test_which_clock_ran_out_between_attempts_is_the_last_line_of_the_last_attempt(stage: Stage, again: bool) -> None:
    PROBE.behaviour = raising(ConnectionDropped("broke"))
    job = started(stage, deadline_seconds=30, retry={"max_attempts": 3, "delay_seconds": 60})
    stage.deliver()
    if again:
        actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    else:
        expire(stage, job)
    _, broke, clock = pages(job, run=1)
    assert (broke["message"], clock["sequence"], clock["type"]) == ("broke", 3, "end")
    assert "after the deadline of 30 s" in clock["message"]
    assert messages(job, run=1, level="alert") == ["broke", clock["message"]]


def test_a_job_that_its_run_ended_has_no_end_line(stage: Stage) -> None:
    PROBE.behaviour = raising(QueryFailed("no such table"))
    job = started(stage)
    stage.deliver()
    assert messages(job) == ["Attempt 1 begins on worker worker-1.", "no such table"]
