"""What `sweep` repairs: lost tokens, workers that died, jobs that waited too long, buffered jobs without a waker."""

from __future__ import annotations

from contextlib import suppress

import pytest

from chalicelib.core.lifecycle import JobStatus, Reason, RunStatus
from chalicelib.errors import FiringIncomplete
from chalicelib.jobs import actions
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.maintenance import sweep
from chalicelib.store import jobs as job_store
from chalicelib.store.job_record import LEASE_SHARDS, JobRecord
from tests.support.probe import RETRY_SLOWER, messages_of, started
from tests.support.simulator import OPERATOR, PROBE, Stage, body_of


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


def test_a_worker_that_dies_is_replaced_when_its_lease_expires(stage: Stage) -> None:
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


def test_sweep_confirms_the_cancel_of_a_job_whose_worker_died(stage: Stage) -> None:
    def dying(context: RunContext) -> Outcome:
        actions.cancel(context.facts.job_id, actor=OPERATOR, now=stage.now)
        raise KeyboardInterrupt

    PROBE.behaviour = dying
    job = started(stage, retry=RETRY_SLOWER)
    with pytest.raises(KeyboardInterrupt):
        stage.deliver()
    stage.minutes(18)
    done, [run] = job_store.get(job.job_id), stage.runs()
    assert done.status == JobStatus.CANCELED
    assert done.cancel_requested_at <= done.canceled_at
    # Nothing has seen the work end, so nothing says when.
    assert (done.stopped_at, run.stopped_at) == (None, None)
    assert "When its work stopped is not known" in done.error


def test_sweep_wakes_a_buffered_job_when_the_process_that_should_have_died(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_job_that_cannot_be_repaired_does_not_keep_the_sweep_from_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = started(stage), started(stage)
    stage.messages.clear()
    find = sweep.jobs.find

    def breaks(job_id: str) -> JobRecord | None:
        if job_id == first.job_id:
            raise ValueError("a record that cannot be read")
        return find(job_id)

    monkeypatch.setattr(sweep.jobs, "find", breaks)
    stage.world.forward(seconds=61)
    with pytest.raises(FiringIncomplete, match="1 repairs"):
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
            raise ValueError("a record that cannot be read")
        return find(job_id)

    monkeypatch.setattr(sweep.jobs, "find", breaks)
    monkeypatch.setattr(sweep, "ENTRIES_PER_SWEEP", len(broken))
    stage.world.forward(seconds=61)
    for _ in range(LEASE_SHARDS):
        with suppress(FiringIncomplete):
            stage.sweep()
        stage.world.forward(seconds=60)
    stage.collect()
    assert body_of(sound) in [message.body for message in stage.messages]
