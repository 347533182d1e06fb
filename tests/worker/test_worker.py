"""A run from its claim to its end: success, retry, deadline, lateness."""

from __future__ import annotations

from datetime import timedelta

from chalicelib.aws import sqs
from chalicelib.core.lifecycle import JobStatus, Reason, RunStatus
from chalicelib.errors import ConnectionDropped, QueryFailed, StatementTimedOut
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.queue import claim
from chalicelib.store import jobs as job_store
from chalicelib.worker import run_end, worker
from tests.support.probe import RETRY_SLOWER, messages_of, raising, started
from tests.support.simulator import OPERATOR, PROBE, Stage, body_of


def test_a_job_goes_waiting_running_succeeded(stage: Stage) -> None:
    seen = []
    job = started(stage)
    seen.append(job.status)

    def behaviour(context: RunContext) -> Outcome:
        seen.append(job_store.get(job.job_id).status)
        return Outcome(rows=3, bytes=10, summary="3 rows")

    PROBE.behaviour = behaviour
    claimed = claim.claim_next(
        sqs.Token("cloud", job.job_id), worker=claim.Worker("w", stage.now + timedelta(900), stage.clock)
    )
    assert claimed is not None
    seen.append(claimed.status)
    worker.execute(claimed, worker=claim.Worker("w", stage.now + timedelta(seconds=900), stage.clock, watched=False))
    done = job_store.get(job.job_id)
    seen.append(done.status)
    assert seen == ["waiting", "running", "running", "succeeded"]
    assert (done.rows, done.bytes, done.summary, done.run_no) == (3, 10, "3 rows", 1)
    assert done.lease_until is None
    assert done.active_task is None


def test_a_run_that_failed_with_a_passing_error_is_tried_again_after_growing_delays(stage: Stage) -> None:
    PROBE.behaviour = raising(ConnectionDropped("The connection broke."))
    job = started(stage, retry=RETRY_SLOWER)
    begin = stage.now
    stage.minutes(10)
    done = job_store.get(job.job_id)
    assert (done.status, done.reason, done.error) == (JobStatus.FAILED, Reason.ERROR, "The connection broke.")
    runs = stage.runs()
    assert [run.status for run in runs] == [RunStatus.FAILED] * 3
    assert [(run.created_at - begin).total_seconds() for run in runs] == [0, 60, 180]


def test_a_run_that_failed_with_a_permanent_error_is_not_tried_again(stage: Stage) -> None:
    PROBE.behaviour = raising(QueryFailed("column does not exist"))
    job = started(stage, retry=RETRY_SLOWER)
    stage.minutes(5)
    assert job_store.get(job.job_id).status == JobStatus.FAILED
    assert len(stage.runs()) == 1


def test_an_error_too_long_for_a_record_is_cut(stage: Stage) -> None:
    said = "invalid input syntax for type integer: \ud800"
    PROBE.behaviour = raising(QueryFailed(said + "x" * 450_000))
    started(stage)
    stage.deliver()
    [job], [run] = stage.jobs(), stage.runs()
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.ERROR)
    assert job.error == run.error == said.replace("\ud800", "?") + "x" * (run_end.ERROR_LIMIT - len(said)) + " …"


def test_an_unexpected_error_fails_the_run_and_shows_its_type(stage: Stage) -> None:
    PROBE.behaviour = raising(ZeroDivisionError("division by zero"))
    job = started(stage)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.reason) == (JobStatus.FAILED, Reason.UNKNOWN_ERROR)
    assert "ZeroDivisionError" in done.error
    assert any("ZeroDivisionError" in message for message in messages_of(done, alerts=True))


def test_a_statement_that_ran_too_long_ends_the_job_timed_out(stage: Stage) -> None:
    PROBE.behaviour = raising(StatementTimedOut("canceling statement due to statement timeout"))
    job = started(stage)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.reason) == (JobStatus.TIMED_OUT, Reason.STATEMENT)


def test_the_deadline_stops_a_run(stage: Stage) -> None:
    def behaviour(context: RunContext) -> Outcome:
        stage.world.forward(seconds=61)
        context.check_for_stop()  # type: ignore[attr-defined]
        context.check()
        raise AssertionError("went on")

    PROBE.behaviour = behaviour
    job = started(stage, deadline_seconds=60, retry=RETRY_SLOWER)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.reason) == (JobStatus.TIMED_OUT, Reason.DEADLINE)
    assert any("deadline of 60 s" in message for message in messages_of(done, alerts=True))


def test_the_deadline_ends_the_wait_for_another_attempt(stage: Stage) -> None:
    PROBE.behaviour = raising(ConnectionDropped())
    job = started(stage, deadline_seconds=30, retry=RETRY_SLOWER)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.reason) == (JobStatus.TIMED_OUT, Reason.DEADLINE)


def test_a_spare_token_does_no_harm(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    for _ in range(3):
        assert stage.work(body_of(job)) is None
    assert len(stage.runs()) == 1


def test_the_token_of_one_job_serves_the_first_in_rank(stage: Stage) -> None:
    from chalicelib.tasks import starts

    low, high = (
        starts.run(stage.task(priority=priority, enabled=False).task_id, actor=OPERATOR, now=stage.now)
        for priority in (0, 5000)
    )
    stage.work(body_of(low))
    assert PROBE.runs == [high.job_id]
    stage.deliver()
    assert sorted(PROBE.runs) == sorted([low.job_id, high.job_id])


def test_a_job_whose_task_is_deleted_while_it_runs_ends_as_usual(stage: Stage) -> None:
    from chalicelib.tasks import editing as task_editing

    def behaviour(context: RunContext) -> Outcome:
        task_editing.delete(context.facts.task_id, actor=OPERATOR, now=stage.now)
        return Outcome(rows=7)

    PROBE.behaviour = behaviour
    job = started(stage)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.rows) == (JobStatus.SUCCEEDED, 7)


def test_the_latest_status_shows_on_the_task(stage: Stage) -> None:
    from chalicelib.tasks import editing as task_editing

    task = stage.task(schedule={"type": "now"})
    stage.deliver()
    shown = task_editing.get(task.task_id)
    assert (shown.latest_status, shown.latest_job_id) == (JobStatus.SUCCEEDED, stage.jobs()[0].job_id)


def test_lateness_counts_from_the_slot_or_from_the_start_by_hand(stage: Stage) -> None:
    from datetime import UTC, datetime

    from chalicelib.tasks import starts

    stage.task(schedule={"type": "once", "at": "2026-03-02T09:01:00", "timezone": "UTC"})
    task = stage.task(enabled=False)
    by_hand = starts.run(task.task_id, scheduled_for=datetime(2013, 1, 1, tzinfo=UTC), actor=OPERATOR, now=stage.now)
    stage.world.forward(seconds=63)
    stage.deliver()
    late = {job.job_id == by_hand.job_id: job.lateness_seconds for job in stage.jobs()}
    assert late == {True: 63.0, False: 3.0}


def test_a_second_attempt_does_not_show_the_error_of_the_first(stage: Stage) -> None:
    seen = []

    def behaviour(context: RunContext) -> Outcome:
        if len(PROBE.runs) == 1:
            raise ConnectionDropped("first")
        seen.append(job_store.get(context.facts.job_id).error)
        return Outcome()

    PROBE.behaviour = behaviour
    started(stage, retry=RETRY_SLOWER)
    stage.minutes(3)
    assert seen == [None]
