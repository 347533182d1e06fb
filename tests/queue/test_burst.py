"""Many jobs due at one moment: what the claim of a job costs grows neither with their number nor with their lateness,
and little with the workers that claim at once."""

from __future__ import annotations

import random
import threading
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core.lifecycle import Trigger
from chalicelib.core.queue_keys import LOOK_BACK, keys_to_read, minute_key
from chalicelib.queue import claim
from chalicelib.queue.past_minutes import SETTLED_AFTER, PastMinutes
from chalicelib.store.job_record import JobRecord
from tests.model.aws import Aws
from tests.support.contention import WORKERS, Alike, a_task, calls_counted, contended_tables, drain, waiting_jobs
from tests.support.simulator import PROBE, Stage, body_of
from tests.support.world import START

SLOT = START + timedelta(minutes=10, seconds=20)


def due_at_once(count: int, *, mixed: bool = False) -> list[JobRecord]:
    """Jobs planned for one slot; their tokens come in another order."""
    draw, planned = random.Random(count), SLOT - timedelta(seconds=30)
    priorities = draw if mixed else Alike()
    made = waiting_jobs(a_task(planned), count, priorities, now=planned, trigger=Trigger.SCHEDULE, scheduled_for=SLOT)
    draw.shuffle(made)
    return made


def calls_of_claims(
    patch: pytest.MonkeyPatch, aws: Aws, count: int, *, late: int = 0, mixed: bool = False, workers: int = WORKERS
) -> float:
    """Calls to DynamoDB for each of so many jobs that are claimed so many seconds late.

    Not in the first ten seconds of a minute, in which the minute before it is read once more.
    """
    aws.empty()
    made = due_at_once(count, mixed=mixed)
    with calls_counted(patch, aws) as calls:
        claims = drain(made, now=SLOT + timedelta(seconds=late), workers=workers)
    assert sorted(each.job.job_id for each in claims) == sorted(job.job_id for job in made)
    return (calls.total() - calls["refused"]) / count


@pytest.mark.slow
def test_the_calls_of_a_claim_are_as_many_for_a_thousand_jobs_as_for_a_hundred_on_time_or_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with contended_tables(monkeypatch) as aws:
        base = calls_of_claims(monkeypatch, aws, 100)
        assert calls_of_claims(monkeypatch, aws, 1_000) <= base + 0.5
        for late in (15, 39, 115, 1_015):
            assert calls_of_claims(monkeypatch, aws, 100, late=late) <= base + 1.5, late


@pytest.mark.slow
def test_the_calls_of_a_claim_grow_little_with_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their jobs have different ranks, so that all of them look at the same head of the queue."""
    with contended_tables(monkeypatch) as aws:
        alone = calls_of_claims(monkeypatch, aws, 200, mixed=True, workers=1)
        assert calls_of_claims(monkeypatch, aws, 200, mixed=True, workers=4 * WORKERS) <= alone + 10


def test_workers_that_read_the_same_jobs_at_once_try_different_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are about to claim the best job when the first does. One after the other they would lose 28 claims."""
    with contended_tables(monkeypatch) as aws:
        made, together, call = due_at_once(100, mixed=True), threading.Barrier(WORKERS), aws.tables._make_api_call
        met = threading.local()

        def meet_before_the_first_claim(operation: str, given: dict[str, Any]) -> dict[str, Any]:
            if operation == "UpdateItem" and not hasattr(met, "once"):
                met.once = together.wait(timeout=30)
            return call(operation, given)

        monkeypatch.setattr(aws.tables, "_make_api_call", meet_before_the_first_claim)
        worst = sorted(made, key=lambda job: -int(job.rank))[:WORKERS]
        with calls_counted(monkeypatch, aws) as calls:
            assert len(drain(worst, now=SLOT)) == WORKERS
        assert WORKERS - 1 <= calls["refused"] <= 2 * WORKERS


def test_what_is_passed_over_in_a_crowd_is_tried_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many tokens as jobs: a worker that others are always quicker than must not leave a job without a token."""
    with contended_tables(monkeypatch) as aws:
        made = due_at_once(claim.FIRST_READ, mixed=True)
        best_first = sorted(made, key=lambda job: int(job.rank))
        lose_twice, real = [True] * claim.LOST_IN_FIRST_READ, claim.job_transitions.claim

        def quicker(job: JobRecord, **given: Any) -> bool:
            return not (lose_twice and lose_twice.pop()) and real(job, **given)

        monkeypatch.setattr(claim.job_transitions, "claim", quicker)
        assert len(drain(best_first[-1:], now=SLOT, workers=1)) == 1
        assert len(drain(best_first[:-1], now=SLOT, workers=1)) == len(made) - 1
        assert aws.queue.messages == []


# --- queues of past minutes -------------------------------------------------------------------------------------------


def test_a_process_reads_the_empty_queue_of_a_past_minute_once() -> None:
    known, now = PastMinutes(), START + LOOK_BACK + SETTLED_AFTER
    keys = keys_to_read("p", due=None, now=now)
    assert known.left_to_read(keys) == keys
    for key in keys:
        known.found_none(key, now=now)
    assert known.left_to_read(keys) == [minute_key("p", now), "p"]


def test_the_minute_that_is_just_over_and_the_pools_own_queue_are_read_each_time() -> None:
    known, now = PastMinutes(), START + LOOK_BACK + SETTLED_AFTER - timedelta(seconds=1)
    keys = keys_to_read("p", due=None, now=now)
    for key in keys:
        known.found_none(key, now=now)
    assert known.left_to_read(keys) == keys[-3:]


def test_what_a_process_remembers_does_not_grow_with_its_age() -> None:
    known = PastMinutes()
    for minutes in range(1_000):
        now = START + timedelta(minutes=minutes, seconds=40)
        for key in keys_to_read("p", due=None, now=now):
            known.found_none(key, now=now)
    assert len(known._empty) <= 6


def test_a_job_left_by_its_token_is_found_by_that_of_the_job_that_was_taken(stage: Stage) -> None:
    """It stays in the queue of its minute, without a write, as long as late tokens read that queue."""
    low, high = (
        stage.task(schedule={"type": "cron", "expression": "1 9 * * *"}, priority=priority) for priority in (0, 5000)
    )
    stage.tick()
    by_task = {job.task_id: job for job in stage.jobs()}
    stage.world.forward(seconds=60)
    stage.work(body_of(by_task[low.task_id]))
    left = next(job for job in stage.jobs() if job.task_id == low.task_id)
    assert left.ready_pool == minute_key("cloud", left.not_before)
    stage.world.forward(seconds=100)
    stage.work(body_of(by_task[high.task_id]))
    assert PROBE.runs == [by_task[high.task_id].job_id, left.job_id]


def test_a_job_left_by_a_token_that_was_very_late_moves_to_the_pools_own_queue(stage: Stage) -> None:
    low, high = (
        stage.task(schedule={"type": "cron", "expression": "1 9 * * *"}, priority=priority) for priority in (0, 5000)
    )
    stage.tick()
    by_task = {job.task_id: job for job in stage.jobs()}
    stage.world.forward(seconds=60 + 125)
    stage.work(body_of(by_task[low.task_id]))
    assert next(job.ready_pool for job in stage.jobs() if job.task_id == low.task_id) == "cloud"
    stage.world.forward(seconds=600)
    stage.work(body_of(by_task[high.task_id]))
    assert len(PROBE.runs) == 2
