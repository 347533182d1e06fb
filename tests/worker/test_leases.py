"""The lease of a running job: short, renewed while its worker lives, and never held by two."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus, Reason, RunStatus
from chalicelib.errors import Stopped
from chalicelib.kinds.protocol import Outcome
from chalicelib.queue import leases
from chalicelib.store import job_updates
from chalicelib.store import jobs as job_store
from tests.support.failing import failing
from tests.support.probe import started
from tests.support.simulator import PROBE, Stage

RETRY_AT_ONCE = {"max_attempts": 2, "delay_seconds": 0}


class Killed(BaseException):
    """The worker's process is gone."""


def seconds_of_work(stage: Stage, seconds: int, *, then: Callable[[], Any] = lambda: None) -> Callable[[Any], Outcome]:
    """The first run works so long, with the watch looking at it each second; the others take no time."""

    def behaviour(context: Any) -> Outcome:
        if len(PROBE.runs) > 1:
            return Outcome(rows=1)
        for _ in range(seconds):
            stage.world.forward(seconds=1)
            context.check_for_stop()
            context.check()
        then()
        return Outcome(rows=1)

    return behaviour


@pytest.fixture
def renewals(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The leases that were renewed, as the instants until which they hold."""
    made: list[datetime] = []
    renew = job_updates.renew_lease

    def noted(job: Any, *, lease_until: datetime) -> Any:
        made.append(lease_until)
        return renew(job, lease_until=lease_until)

    monkeypatch.setattr(job_updates, "renew_lease", noted)
    return made


def die() -> None:
    raise Killed


# A sweep may come right before the lease ends, and the next one a minute later.
@pytest.mark.parametrize("sweep_phase", [0, 44, 59])
@pytest.mark.parametrize("killed_after", [0, 19, 20, 100])
def test_a_lost_worker_is_found_and_its_job_runs_again_within_two_minutes(
    stage: Stage, killed_after: int, sweep_phase: int
) -> None:
    PROBE.behaviour = seconds_of_work(stage, killed_after, then=die)
    job = started(stage, retry=RETRY_AT_ONCE)
    with pytest.raises(Killed):
        stage.deliver()
    died_at = stage.now
    stage.world.forward(seconds=sweep_phase)
    while job_store.get(job.job_id).status == JobStatus.RUNNING and stage.now < died_at + timedelta(minutes=20):
        stage.sweep()
        stage.deliver()
        stage.world.forward(seconds=60)
    first, second = stage.runs()
    assert (first.status, first.reason) == (RunStatus.FAILED, Reason.WORKER_LOST)
    assert second.status == RunStatus.SUCCEEDED
    assert second.started_at - died_at <= timedelta(minutes=2)


@pytest.mark.parametrize(("seconds", "writes"), [(0, 0), (19, 0), (20, 1), (60, 3), (300, 15)])
def test_a_run_writes_one_renewal_for_each_twenty_seconds(
    stage: Stage, renewals: list[datetime], seconds: int, writes: int
) -> None:
    PROBE.behaviour = seconds_of_work(stage, seconds)
    job = started(stage)
    stage.deliver()
    assert job_store.get(job.job_id).status == JobStatus.SUCCEEDED
    assert len(renewals) == writes


def test_a_renewal_takes_the_place_of_the_read_in_its_second(stage: Stage) -> None:
    PROBE.behaviour = seconds_of_work(stage, 40)
    started(stage)
    with failing("dynamodb", "GetItem", times=0) as reads:
        stage.deliver()
    short = reads.calls
    PROBE.runs.clear()
    PROBE.behaviour = seconds_of_work(stage, 41)
    started(stage)
    with failing("dynamodb", "GetItem", times=0) as reads:
        stage.deliver()
    assert reads.calls == short + 1, "each second reads the job once, but for the two in which its lease is renewed"
    assert short < 45


def test_renewals_that_are_throttled_for_a_while_cost_the_run_nothing(stage: Stage) -> None:
    def behaviour(context: Any) -> Outcome:
        for second in range(1, 61):
            stage.world.forward(seconds=1)
            if 20 <= second < 38:
                with failing("dynamodb", "UpdateItem", containing="lease_until"):
                    context.check_for_stop()
            else:
                context.check_for_stop()
            context.check()
            stage.sweep()
        return Outcome(rows=1)

    PROBE.behaviour = behaviour
    job = started(stage)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.run_no) == (JobStatus.SUCCEEDED, 1)


def test_a_worker_that_cannot_renew_stops_before_another_may_begin(stage: Stage) -> None:
    seen: dict[str, datetime] = {}

    def behaviour(context: Any) -> Outcome:
        if len(PROBE.runs) > 1:
            return Outcome(rows=1)
        seen["lease"] = job_store.get(context.facts.job_id).lease_until
        try:
            for _ in range(200):
                stage.world.forward(seconds=1)
                with failing("dynamodb", "UpdateItem", containing="lease_until"):
                    context.check_for_stop()
                    context.check()
        except Stopped:
            seen["stopped"] = stage.now
            raise
        raise AssertionError("went on without a lease")

    PROBE.behaviour = behaviour
    job = started(stage, retry=RETRY_AT_ONCE)
    stage.deliver()
    assert seen["stopped"] <= seen["lease"] - leases.STOP_BEFORE + timedelta(seconds=1)
    done = job_store.get(job.job_id)
    assert (done.status, done.run_no) == (JobStatus.SUCCEEDED, 2), "it is tried again"
    first, _ = stage.runs()
    assert (first.status, first.reason) == (RunStatus.FAILED, Reason.WORKER_LOST)


def test_where_the_watch_gets_no_time_the_work_renews_the_lease_itself(stage: Stage, renewals: list[datetime]) -> None:
    def behaviour(context: Any) -> Outcome:
        for _ in range(120):
            stage.world.forward(seconds=1)
            context.check()
            stage.sweep()
        return Outcome(rows=1)

    PROBE.behaviour = behaviour
    job = started(stage)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.run_no) == (JobStatus.SUCCEEDED, 1)
    assert 3 <= len(renewals) <= 6


def test_a_process_that_stood_still_past_its_lease_does_no_more_work(stage: Stage) -> None:
    def behaviour(context: Any) -> Outcome:
        if len(PROBE.runs) > 1:
            return Outcome(rows=2)
        stage.world.forward(seconds=50)
        stage.sweep()
        stage.deliver()
        context.check()
        raise AssertionError("went on without a lease")

    PROBE.behaviour = behaviour
    job = started(stage, retry=RETRY_AT_ONCE)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.rows, done.run_no) == (JobStatus.SUCCEEDED, 2, 2)
    assert [run.status for run in stage.runs()] == [RunStatus.FAILED, RunStatus.SUCCEEDED]


def test_a_worker_whose_run_was_ended_stops_although_no_other_holds_the_job_yet(stage: Stage) -> None:
    def behaviour(context: Any) -> Outcome:
        if len(PROBE.runs) > 1:
            return Outcome(rows=2)
        # The clock of the sweep runs a minute ahead.
        stage.world.forward(seconds=60)
        stage.sweep()
        stage.world.forward(seconds=-60)
        context.check_for_stop()
        context.check()
        raise AssertionError("went on without a lease")

    PROBE.behaviour = behaviour
    job = started(stage, retry={"max_attempts": 2, "delay_seconds": 300})
    stage.deliver()
    waiting = job_store.get(job.job_id)
    assert (waiting.status, waiting.attempts_spent) == (JobStatus.WAITING, 1)


def test_a_lease_that_was_lost_is_not_renewed(stage: Stage) -> None:
    job = started(stage)
    PROBE.behaviour = lambda context: die()  # type: ignore[return-value]
    with pytest.raises(Killed):
        stage.deliver()
    held = job_store.get(job.job_id)
    stage.world.forward(seconds=60)
    stage.sweep()
    assert job_updates.renew_lease(held, lease_until=stage.now + leases.WORKER_LEASE) is None
    assert job_store.get(job.job_id).status == JobStatus.FAILED


def test_the_lease_is_kept_while_the_runs_end_is_written(
    stage: Stage, renewals: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    from chalicelib.worker import run_end

    record = run_end.record

    def slowly(live: Any, *given: Any, **named: Any) -> None:
        for _ in range(50):
            stage.world.forward(seconds=1)
            live.keep_lease()
            stage.sweep()
        record(live, *given, **named)

    monkeypatch.setattr(run_end, "record", slowly)
    job = started(stage)
    stage.deliver()
    assert (job_store.get(job.job_id).status, len(stage.runs())) == (JobStatus.SUCCEEDED, 1)
    assert len(renewals) == 2
