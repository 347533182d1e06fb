"""Claims go by rank, over the jobs that are ready and those that have just come due, whichever token comes."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.lifecycle import JobStatus, Reason, Trigger
from chalicelib.core.queue_keys import keys_to_read, minute_key
from chalicelib.core.rank import POINT, PRIORITY_MAX, PRIORITY_MIN, rank
from chalicelib.errors import ConnectionDropped
from chalicelib.jobs import actions
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.queue import pools
from chalicelib.queue.claim import FIRST_READ, NEXT_READ
from chalicelib.store import jobs
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord
from tests.model.aws import Aws
from tests.support.contention import a_task, contended_tables, drain, passed_over, waiting_jobs
from tests.support.simulator import OPERATOR, PROBE, Probe, Stage, body_of
from tests.support.world import START


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "most"), [(1, 0), (8, FIRST_READ + NEXT_READ)])
def test_a_thousand_jobs_are_claimed_in_the_order_of_rank(
    monkeypatch: pytest.MonkeyPatch, workers: int, most: int
) -> None:
    """Half of them are in the pool's queue; half come due in the same second and are in the queue of their minute.

    A worker that lost no claim takes the best. One that lost a claim takes one of those that it reads next.
    """
    with contended_tables(monkeypatch) as aws:
        now, draw = aws.now, random.Random(5)
        slot = now.replace(second=30)
        made = waiting_jobs(a_task(now), 500, draw, now=now, trigger=Trigger.MANUAL, scheduled_for=now)
        made += waiting_jobs(a_task(now), 500, draw, now=now, trigger=Trigger.SCHEDULE, scheduled_for=slot)
        assert {job.ready_pool for job in made} == {"cloud", minute_key("cloud", slot)}
        draw.shuffle(made)
        claims = drain(made, now=slot + timedelta(seconds=1), workers=workers)
        assert sorted(each.job.job_id for each in claims) == sorted(job.job_id for job in made)
        assert passed_over(claims) <= most


instants = st.integers(0, 365 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))
priorities = st.integers(PRIORITY_MIN, PRIORITY_MAX)


@given(instants, priorities, instants, priorities)
def test_a_job_of_higher_priority_goes_first_exactly_when_it_came_less_than_an_hour_a_point_later(
    at: datetime, priority: int, later: datetime, higher: int
) -> None:
    bound = (higher - priority) * POINT
    assert (rank(later, higher) < rank(at, priority)) == (later - at < bound)
    assert (rank(later, higher) > rank(at, priority)) == (later - at > bound)


def test_a_stream_of_high_priorities_delays_a_low_one_no_longer_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of five points more comes every ten minutes, as fast as one worker works, for three times the bound."""
    with contended_tables(monkeypatch) as aws:
        task, begun = a_task(aws.now), aws.now
        [low] = one(task, 100, aws)
        claimed: list[tuple[str, datetime]] = []
        for _ in range(3 * 5 * 6):
            [high] = one(task, 105, aws)
            [got] = drain([high], now=aws.now)
            claimed.append((got.job.job_id, aws.now))
            aws.forward(600)
        [waited] = [at - begun for job_id, at in claimed if job_id == low.job_id]
        assert 5 * POINT <= waited <= 5 * POINT + timedelta(minutes=10)


def one(task: TaskRecord, priority: int, aws: Aws) -> list[JobRecord]:
    class Drawn(random.Random):
        def randrange(self, *_: int) -> int:
            return priority

    return waiting_jobs(task, 1, Drawn(), now=aws.now, trigger=Trigger.MANUAL, scheduled_for=aws.now)


def test_a_token_that_comes_at_its_slot_serves_a_better_job_due_at_the_same_time(stage: Stage) -> None:
    """The better job's own token has not arrived: from the tick on the job is in the queue of its minute."""
    low, high = (
        stage.task(schedule={"type": "cron", "expression": "1 9 * * *"}, priority=priority) for priority in (0, 5000)
    )
    stage.tick()
    by_task = {job.task_id: job for job in stage.jobs()}
    stage.world.forward(seconds=60)
    stage.work(body_of(by_task[low.task_id]))
    assert PROBE.runs == [by_task[high.task_id].job_id]
    stage.deliver()
    assert len(PROBE.runs) == 2


def test_a_better_job_of_the_same_minute_is_not_claimed_before_its_time(stage: Stage) -> None:
    schedules = [{"type": "once", "at": f"2026-03-02T09:01:{second}", "timezone": "UTC"} for second in ("10", "40")]
    low, _ = (
        stage.task(schedule=schedule, priority=priority)
        for schedule, priority in zip(schedules, (0, 5000), strict=True)
    )
    by_task = {job.task_id: job for job in stage.jobs()}
    stage.world.forward(seconds=70)
    stage.work(body_of(by_task[low.task_id]))
    assert PROBE.runs == [by_task[low.task_id].job_id]


def test_a_retry_whose_time_has_come_goes_by_its_rank(stage: Stage) -> None:
    def fails_once(context: RunContext) -> Outcome:
        PROBE.behaviour = Probe().behaviour
        raise ConnectionDropped

    PROBE.behaviour = fails_once
    retried = stage.task(
        schedule={"type": "now"}, priority=5000, retry={"max_attempts": 2, "delay_seconds": 60, "backoff": "fixed"}
    )
    stage.deliver()
    stage.messages.clear()
    stage.world.forward(seconds=61)
    low = stage.task(schedule={"type": "now"}, priority=0)
    other = next(job for job in stage.jobs() if job.task_id == low.task_id)
    stage.work(body_of(other))
    assert [jobs.get(job_id).task_id for job_id in PROBE.runs] == [retried.task_id] * 2


def test_a_changed_priority_moves_a_planned_job(stage: Stage) -> None:
    first, second = (stage.task(schedule={"type": "cron", "expression": "1 9 * * *"}) for _ in range(2))
    stage.tick()
    by_task = {job.task_id: job for job in stage.jobs()}
    actions.set_priority(by_task[second.task_id].job_id, 5000, actor=OPERATOR, now=stage.now)
    stage.world.forward(seconds=60)
    stage.work(body_of(by_task[first.task_id]))
    assert PROBE.runs == [by_task[second.task_id].job_id]


def test_a_buffered_job_is_in_no_queue(stage: Stage) -> None:
    def first_takes_long(context: RunContext) -> Outcome:
        PROBE.behaviour = Probe().behaviour
        stage.world.forward(seconds=60)
        stage.deliver()
        held = [job for job in stage.jobs() if job.buffered]
        assert [job.ready_pool for job in held] == [None]
        return Outcome()

    PROBE.behaviour = first_takes_long
    stage.task(schedule={"type": "cron", "expression": "1,2 9 * * *"}, overlap="buffer_one")
    stage.tick()
    stage.world.forward(seconds=60)
    stage.tick()
    stage.deliver()
    assert [job.status for job in stage.jobs()] == [JobStatus.SUCCEEDED] * 2


def test_a_token_on_time_reads_one_minute_and_a_late_one_all_minutes_that_sweep_may_not_have_reached() -> None:
    now = START.replace(minute=4, second=7)
    assert keys_to_read("p", due=now - timedelta(seconds=5), now=now) == ["p~202603020904", "p"]
    late = ["p~202603020901", "p~202603020902", "p~202603020903", "p~202603020904", "p"]
    assert keys_to_read("p", due=now - timedelta(seconds=6), now=now) == late
    assert keys_to_read("p", due=None, now=now) == late


def test_a_paused_pool_keeps_its_jobs_and_sends_their_tokens_when_it_is_resumed(stage: Stage) -> None:
    task = stage.task(schedule={"type": "now"}, queue_wait_limit_seconds=3_600)
    pools.patch("cloud", {"paused": True}, revision=None, actor=OPERATOR, now=stage.now)
    stage.deliver()
    for _ in range(8):
        stage.world.forward(seconds=120)
        stage.sweep()
        assert stage.messages == [], "no tokens for a paused pool"
    assert PROBE.runs == []
    stage.task(schedule={"type": "now"})
    stage.deliver()
    pools.patch("cloud", {"paused": False}, revision=None, actor=OPERATOR, now=stage.now)
    stage.deliver()
    assert [job.status for job in stage.jobs()] == [JobStatus.SUCCEEDED] * 2, task.task_id


def test_the_clock_of_the_queue_wait_runs_on_while_a_pool_is_paused(stage: Stage) -> None:
    stage.task(schedule={"type": "now"}, queue_wait_limit_seconds=120)
    pools.patch("cloud", {"paused": True}, revision=None, actor=OPERATOR, now=stage.now)
    stage.deliver()
    stage.world.forward(seconds=121)
    stage.sweep()
    assert [(job.status, job.reason) for job in stage.jobs()] == [(JobStatus.TIMED_OUT, Reason.QUEUE_WAIT)]


def test_sweep_finds_the_jobs_of_a_resumed_pool_whose_tokens_were_lost(stage: Stage) -> None:
    stage.task(schedule={"type": "now"})
    pools.patch("cloud", {"paused": True}, revision=None, actor=OPERATOR, now=stage.now)
    stage.deliver()
    pools.patch("cloud", {"paused": False}, revision=None, actor=OPERATOR, now=stage.now)
    stage.collect()
    stage.messages.clear()
    stage.world.forward(seconds=61)
    stage.sweep()
    stage.deliver()
    assert [job.status for job in stage.jobs()] == [JobStatus.SUCCEEDED]
