"""The record of one job: its clocks, its runs and failures, and what ran."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core.lifecycle import Reason
from chalicelib.errors import RunNotFound
from chalicelib.jobs import actions
from chalicelib.jobs import detail as job_detail
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.tasks import editing as task_editing
from tests.support.probe import RETRY, failing_until, started
from tests.support.simulator import OPERATOR, PROBE, Stage


def detail(job_id: str, *, run_no: int | None = None) -> dict[str, Any]:
    return job_detail.whole_record(job_detail.get(job_id), run_no=run_no)


def test_a_job_shows_its_newest_runs_and_says_how_many_there_are(stage: Stage) -> None:
    failing_until(5)
    job = started(stage, retry=RETRY | {"max_attempts": 8, "delay_seconds": 0})
    stage.minutes(1)
    found = detail(job.job_id)
    assert [run.run_no for run in found["runs"]] == [5, 4, 3]
    assert found["run_count"] == 5
    assert [(each["run_no"], each["error"], each["reason"]) for each in found["failures"]] == [
        (number, f"drop {number}", Reason.ERROR) for number in (4, 3, 2, 1)
    ]


def test_a_canceled_run_is_among_the_failures(stage: Stage) -> None:
    job = started(stage)

    def is_canceled(context: RunContext) -> Outcome:
        actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)
        context.check_for_stop()  # type: ignore[attr-defined]
        context.check()
        return Outcome()

    PROBE.behaviour = is_canceled
    stage.deliver()
    (failure,) = detail(job.job_id)["failures"]
    assert (failure["status"], failure["reason"], failure["at"]) == ("canceled", Reason.BY_USER, stage.now)


def test_the_clocks_are_shown_with_their_ends(stage: Stage) -> None:
    job = started(stage, deadline_seconds=600, queue_wait_limit_seconds=120)
    waiting = detail(job.job_id)
    assert (waiting["deadline_at"], waiting["queue_wait_ends_at"]) == (None, stage.now + timedelta(seconds=120))
    stage.deliver()
    assert detail(job.job_id)["deadline_at"] == stage.now + timedelta(seconds=600)


def test_what_ran_is_frozen_by_the_run(stage: Stage) -> None:
    failing_until(1)
    job = started(stage)
    before = detail(job.job_id)["definition"]
    assert before == {"frozen": False, "run_no": None, "document": {"words": "as it stands now"}}
    stage.deliver()
    assert detail(job.job_id)["definition"] == {"frozen": True, "run_no": 1, "document": {"run": 1}}


def test_each_run_keeps_what_it_ran(stage: Stage) -> None:
    failing_until(2)
    job = started(stage, retry=RETRY)
    stage.minutes(2)
    assert detail(job.job_id)["definition"]["document"] == {"run": 2}
    assert detail(job.job_id, run_no=1)["definition"]["document"] == {"run": 1}
    with pytest.raises(RunNotFound):
        detail(job.job_id, run_no=3)


def test_a_run_that_lost_its_job_freezes_nothing(stage: Stage) -> None:
    job = started(stage)

    def is_ended_meanwhile(context: RunContext) -> Outcome:
        stage.world.forward(seconds=2_000)
        stage.sweep()
        context.define({"too": "late"})
        return Outcome()

    PROBE.behaviour = is_ended_meanwhile
    stage.deliver()
    assert [run.definition for run in stage.runs() if run.run_no == 1] == [None]
    assert detail(job.job_id)["definition"]["frozen"] is False


def test_a_deleted_task_keeps_its_jobs_readable(stage: Stage) -> None:
    failing_until(1)
    job = started(stage)
    stage.deliver()
    task_editing.delete(job.task_id, actor=OPERATOR, now=stage.now)
    found = detail(job.job_id)
    assert (found["task_name"], found["spec"], found["status"]) == (job.task_name, job.spec, "succeeded")
    assert found["definition"]["document"] == {"run": 1}
