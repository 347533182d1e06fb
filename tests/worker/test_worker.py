from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.aws import sqs
from chalicelib.core.lifecycle import JobStatus, Reason, RunStatus
from chalicelib.core.rank import rank
from chalicelib.errors import ConnectionDropped, FiringIncomplete, QueryFailed, StatementTimedOut, WrongState
from chalicelib.jobs import actions
from chalicelib.jobs import files as job_files
from chalicelib.jobs import listing as job_listing
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.maintenance import sweep
from chalicelib.queue import claim
from chalicelib.store import jobs as job_store
from chalicelib.store import logs as log_store
from chalicelib.store.job_list_plan import JobFilter
from chalicelib.store.job_record import LEASE_SHARDS, JobRecord
from chalicelib.worker import worker
from tests.support.probe import raising, started
from tests.support.simulator import OPERATOR, PROBE, Stage, body_of

RETRY = {"max_attempts": 3, "delay_seconds": 60, "backoff": "exponential"}


def messages_of(job: JobRecord, *, alerts: bool = False) -> list[str]:
    return [line.message for line in log_store.read(job.job_id, int(job.run_no), alerts=alerts)]


def test_a_job_goes_waiting_assigned_running_succeeded(stage: Stage) -> None:
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
    assert seen == ["waiting", "assigned", "running", "succeeded"]
    assert (done.rows, done.bytes, done.summary, done.run_no) == (3, 10, "3 rows", 1)
    assert done.lease_until is None
    assert done.active_task is None


def test_an_error_that_may_pass_is_tried_again_after_growing_delays(stage: Stage) -> None:
    PROBE.behaviour = raising(ConnectionDropped("The connection broke."))
    job = started(stage, retry=RETRY)
    begin = stage.now
    stage.minutes(10)
    done = job_store.get(job.job_id)
    assert (done.status, done.reason, done.error) == (JobStatus.FAILED, Reason.ERROR, "The connection broke.")
    runs = stage.runs()
    assert [run.status for run in runs] == [RunStatus.FAILED] * 3
    assert [(run.created_at - begin).total_seconds() for run in runs] == [0, 60, 180]


def test_an_error_that_would_come_again_is_not_tried_again(stage: Stage) -> None:
    PROBE.behaviour = raising(QueryFailed("column does not exist"))
    job = started(stage, retry=RETRY)
    stage.minutes(5)
    assert job_store.get(job.job_id).status == JobStatus.FAILED
    assert len(stage.runs()) == 1


def test_an_error_too_long_for_a_record_ends_its_run_all_the_same(stage: Stage) -> None:
    said = "invalid input syntax for type integer: \ud800"
    PROBE.behaviour = raising(QueryFailed(said + "x" * 450_000))
    started(stage)
    stage.deliver()
    [job], [run] = stage.jobs(), stage.runs()
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.ERROR)
    assert job.error == run.error == said.replace("\ud800", "?") + "x" * (worker.ERROR_LIMIT - len(said)) + " …"


def test_an_error_nobody_expected_is_a_failed_run_with_its_type(stage: Stage) -> None:
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
    job = started(stage, deadline_seconds=60, retry=RETRY)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.reason) == (JobStatus.TIMED_OUT, Reason.DEADLINE)
    assert any("deadline of 60 s" in message for message in messages_of(done, alerts=True))


def test_the_deadline_ends_the_wait_for_another_attempt(stage: Stage) -> None:
    PROBE.behaviour = raising(ConnectionDropped())
    job = started(stage, deadline_seconds=30, retry=RETRY)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.reason) == (JobStatus.TIMED_OUT, Reason.DEADLINE)


def test_waiting_too_long_ends_the_job_with_that_reason(stage: Stage) -> None:
    job = started(stage, queue_wait_limit_seconds=120)
    stage.messages.clear()
    stage.world.forward(seconds=121)
    stage.sweep()
    done = job_store.get(job.job_id)
    assert (done.status, done.reason) == (JobStatus.TIMED_OUT, Reason.QUEUE_WAIT)
    assert "120 s" in done.error


def test_a_lost_token_is_sent_again(stage: Stage) -> None:
    job = started(stage)
    stage.collect()
    stage.messages.clear()
    stage.world.forward(seconds=61)
    stage.sweep()
    stage.deliver()
    assert job_store.get(job.job_id).status == JobStatus.SUCCEEDED


def test_a_spare_token_does_no_harm(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    for _ in range(3):
        assert stage.work(body_of(job)) is None
    assert len(stage.runs()) == 1


def test_a_worker_that_dies_is_replaced_when_its_lease_runs_out(stage: Stage) -> None:
    class Killed(BaseException):
        pass

    def dying(context: RunContext) -> Outcome:
        PROBE.behaviour = lambda _: Outcome()
        raise Killed

    PROBE.behaviour = dying
    job = started(stage, retry={"max_attempts": 2, "delay_seconds": 0})
    with pytest.raises(Killed):
        stage.deliver()
    assert job_store.get(job.job_id).status == JobStatus.RUNNING
    stage.minutes(18)
    assert job_store.get(job.job_id).status == JobStatus.SUCCEEDED
    assert [(run.status, run.reason) for run in stage.runs()] == [
        (RunStatus.FAILED, Reason.WORKER_LOST),
        (RunStatus.SUCCEEDED, None),
    ]


def test_a_result_after_the_lease_changes_nothing(stage: Stage) -> None:
    def slow(context: RunContext) -> Outcome:
        stage.world.forward(seconds=2_000)
        stage.sweep()
        return Outcome(rows=1)

    PROBE.behaviour = slow
    job = started(stage)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.reason, done.rows) == (JobStatus.FAILED, Reason.WORKER_LOST, None)
    assert any("changes nothing" in message for message in messages_of(done))


def test_cancel_of_a_waiting_job_ends_it_at_once(stage: Stage) -> None:
    job = started(stage)
    actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.reason, done.run_no) == (JobStatus.CANCELED, Reason.BY_USER, 0)
    assert done.cancel_requested_by == OPERATOR.name


def test_cancel_of_a_running_job_shows_requested_stopped_and_confirmed(stage: Stage) -> None:
    interrupted = []

    def behaviour(context: RunContext) -> Outcome:
        context.on_stop(lambda: interrupted.append(True))
        actions.cancel(context.facts.job_id, actor=OPERATOR, now=stage.now)
        stage.world.forward(seconds=1)
        context.check_for_stop()  # type: ignore[attr-defined]
        stage.world.forward(seconds=1)
        context.check()
        raise AssertionError("went on")

    PROBE.behaviour = behaviour
    job = started(stage, retry=RETRY)
    begin = stage.now
    stage.deliver()
    done = job_store.get(job.job_id)
    assert interrupted == [True]
    assert (done.status, done.reason) == (JobStatus.CANCELED, Reason.BY_USER)
    times = [done.cancel_requested_at, done.stopped_at, done.canceled_at]
    assert [(time - begin).total_seconds() for time in times] == [0, 1, 2]


def test_cancel_of_a_job_whose_worker_is_gone_is_confirmed_by_the_sweep(stage: Stage) -> None:
    def dying(context: RunContext) -> Outcome:
        actions.cancel(context.facts.job_id, actor=OPERATOR, now=stage.now)
        raise KeyboardInterrupt

    PROBE.behaviour = dying
    job = started(stage, retry=RETRY)
    with pytest.raises(KeyboardInterrupt):
        stage.deliver()
    stage.minutes(18)
    assert job_store.get(job.job_id).status == JobStatus.CANCELED
    assert len(stage.runs()) == 1


def test_a_cancel_that_comes_while_a_run_fails_ends_the_job(stage: Stage) -> None:
    def fails(context: RunContext) -> Outcome:
        actions.cancel(context.facts.job_id, actor=OPERATOR, now=stage.now)
        raise ConnectionDropped

    PROBE.behaviour = fails
    job = started(stage, retry=RETRY)
    stage.minutes(3)
    assert job_store.get(job.job_id).status == JobStatus.CANCELED
    assert len(stage.runs()) == 1


def test_cancel_of_an_ended_job_is_refused_with_its_status(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    with pytest.raises(WrongState, match="succeeded"):
        actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)


def test_a_rerun_is_a_new_run_of_the_same_job_with_the_same_window(stage: Stage) -> None:
    job = started(stage, window={"type": "yesterday"})
    stage.deliver()
    before = job_store.get(job.job_id)
    stage.world.forward(days=3)
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    after = job_store.get(job.job_id)
    assert (after.status, after.run_no) == (JobStatus.SUCCEEDED, 2)
    assert (after.window_start, after.window_end) == (before.window_start, before.window_end)


def test_a_job_run_again_is_listed_by_who_asked_for_that(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()

    def found(**filters: str) -> list[str]:
        return [row.job_id for row in job_listing.listing(JobFilter(**filters), now=stage.now).items]

    assert found(trigger="rerun") == []
    actions.rerun(job.job_id, actor=replace(OPERATOR, name="rita"), now=stage.now)
    assert found(trigger="rerun") == found(operator="rita") == [job.job_id]
    assert found(trigger=job.trigger) == []
    stage.deliver()
    assert found(trigger="rerun", status=["succeeded"]) == [job.job_id]


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


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("skip", ["succeeded", "skipped", "skipped", "succeeded"]),
        ("allow_all", ["succeeded", "succeeded", "succeeded", "succeeded"]),
        ("buffer_one", ["succeeded", "succeeded", "skipped", "succeeded"]),
        ("buffer_all", ["succeeded", "succeeded", "succeeded", "succeeded"]),
    ],
)
def test_overlap_is_decided_when_the_slot_has_come(stage: Stage, overlap: str, expected: list[str]) -> None:
    def first_takes_long(context: RunContext) -> Outcome:
        """The first job is still running while the next two slots come."""
        PROBE.behaviour = lambda _: Outcome()
        for _ in range(2):
            stage.world.forward(seconds=60)
            stage.tick()
            stage.deliver()
        return Outcome()

    PROBE.behaviour = first_takes_long
    stage.task(overlap=overlap)
    stage.tick()
    stage.world.forward(seconds=60)
    stage.deliver(limit=1)
    stage.minutes(3)
    assert [job.status.value for job in stage.jobs()][:4] == expected
    assert sum(1 for job_id in PROBE.runs) == len(set(PROBE.runs))


def test_cancel_other_stops_the_earlier_job_and_then_starts(stage: Stage) -> None:
    def obeys(context: RunContext) -> Outcome:
        PROBE.behaviour = lambda _: Outcome()
        stage.world.forward(seconds=60)
        stage.tick()
        stage.deliver()
        context.check_for_stop()  # type: ignore[attr-defined]
        context.check()
        raise AssertionError("went on")

    PROBE.behaviour = obeys
    stage.task(overlap="cancel_other")
    stage.tick()
    stage.world.forward(seconds=60)
    stage.deliver(limit=1)
    stage.minutes(2)
    first, second, *_ = stage.jobs()
    assert (first.status, first.reason) == (JobStatus.CANCELED, Reason.BY_POLICY)
    assert second.status == JobStatus.SUCCEEDED
    assert second.started_at >= first.ended_at


def test_a_buffered_job_whose_waker_died_is_let_in_by_the_sweep(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def first_takes_long(context: RunContext) -> Outcome:
        PROBE.behaviour = lambda _: Outcome()
        stage.world.forward(seconds=60)
        stage.tick()
        stage.deliver()
        monkeypatch.setattr("chalicelib.queue.completion.wake_buffered", lambda *_, **__: None)
        return Outcome()

    PROBE.behaviour = first_takes_long
    task = stage.task(overlap="buffer_one", schedule={"type": "cron", "expression": "1,2 9 * * *"})
    stage.tick()
    stage.world.forward(seconds=60)
    stage.deliver(limit=1)
    stage.minutes(3)
    assert [job.status for job in stage.jobs()] == [JobStatus.SUCCEEDED] * 2, task.task_id


def test_a_task_deleted_while_its_job_runs_leaves_the_job_to_its_proper_end(stage: Stage) -> None:
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


def test_a_job_that_cannot_be_repaired_does_not_keep_the_sweep_from_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = started(stage), started(stage)
    stage.messages.clear()
    find = sweep.jobs.find

    def breaks(job_id: str) -> JobRecord | None:
        if job_id == first.job_id:
            raise ValueError("a record nobody understands")
        return find(job_id)

    monkeypatch.setattr(sweep.jobs, "find", breaks)
    stage.world.forward(seconds=61)
    with pytest.raises(FiringIncomplete, match="1 jobs"):
        stage.sweep()
    stage.collect()
    assert [message.body for message in stage.messages] == [body_of(second)]


@pytest.mark.parametrize(("full", "other"), [(0, 3), (3, 0)])
def test_a_shard_that_takes_all_of_a_sweep_does_not_keep_the_others_from_theirs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, full: int, other: int
) -> None:
    broken, sound = [started(stage), started(stage)], started(stage)
    stage.messages.clear()
    for job, shard in [(broken[0], full), (broken[1], full), (sound, other)]:
        job.update([JobRecord.lease_shard.set(shard)])
    find, never = sweep.jobs.find, {job.job_id for job in broken}

    def breaks(job_id: str) -> JobRecord | None:
        if job_id in never:
            raise ValueError("a record nobody understands")
        return find(job_id)

    monkeypatch.setattr(sweep.jobs, "find", breaks)
    monkeypatch.setattr(sweep, "JOBS_PER_SWEEP", len(broken))
    stage.world.forward(seconds=61)
    for _ in range(LEASE_SHARDS):
        with suppress(FiringIncomplete):
            stage.sweep()
        stage.world.forward(seconds=60)
    stage.collect()
    assert body_of(sound) in [message.body for message in stage.messages]


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


def test_a_rerun_that_fails_leaves_the_good_file_of_the_run_before(stage: Stage) -> None:
    manifest = {
        "key": "k",
        "file_name": "f",
        "sha256": "s",
        "bytes": 1,
        "rows": 1,
        "started_at": "2026-03-02T09:00:00Z",
    }
    PROBE.behaviour = lambda _: Outcome(files=[manifest], rows=1)
    job = started(stage)
    stage.deliver()
    PROBE.behaviour = raising(QueryFailed("no such table"))
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    after = job_store.get(job.job_id)
    assert (after.status, after.error, after.files) == (JobStatus.FAILED, "no such table", [manifest])
    assert [link["name"] for link in job_files.links(job.job_id, now=stage.now)] == ["f"]


def test_a_second_attempt_does_not_show_the_error_of_the_first(stage: Stage) -> None:
    seen = []

    def behaviour(context: RunContext) -> Outcome:
        if len(PROBE.runs) == 1:
            raise ConnectionDropped("first")
        seen.append(job_store.get(context.facts.job_id).error)
        return Outcome()

    PROBE.behaviour = behaviour
    started(stage, retry=RETRY)
    stage.minutes(3)
    assert seen == [None]


def test_a_priority_changed_while_it_runs_is_the_next_attempts(stage: Stage) -> None:
    def behaviour(context: RunContext) -> Outcome:
        actions.set_priority(job.job_id, 5000, actor=OPERATOR, now=stage.now)
        raise ConnectionDropped

    PROBE.behaviour = behaviour
    job = started(stage, retry=RETRY)
    stage.deliver()
    waiting = job_store.get(job.job_id)
    assert (waiting.status, waiting.priority) == (JobStatus.WAITING, 5000)
    assert waiting.rank == rank(waiting.enqueued_at, 5000)
