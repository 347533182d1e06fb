"""`max_concurrency` of a task and of a source: never exceeded, never stuck, and other jobs of the queue go on."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.aws import sqs
from chalicelib.clock import Clock
from chalicelib.core.ids import ulid
from chalicelib.core.lifecycle import ENDED, JobStatus, RunStatus, Trigger
from chalicelib.core.queue_keys import parked_key
from chalicelib.kinds.protocol import Target
from chalicelib.maintenance import sweep
from chalicelib.queue import claim, completion, concurrency
from chalicelib.store import concurrency as store
from chalicelib.store import job_transitions, job_updates, jobs, pools, runs
from chalicelib.store.catalogue import SourceRecord
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.tasks import editing as task_editing
from chalicelib.tasks import starts
from tests.model.aws import VISIBILITY, Aws
from tests.support.contention import a_task, at_once, contended_tables, waiting_jobs
from tests.support.simulator import OPERATOR, PROBE

# Seconds to wait for another thread: far more than it takes on a busy machine.
PATIENCE = 60
WORK_TIME = timedelta(seconds=900)


class Dead(BaseException):
    """The process has died."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    with contended_tables(monkeypatch) as made:
        yield made


def worker(aws: Aws) -> claim.Worker:
    return claim.Worker("w", aws.now + WORK_TIME, Clock(now=lambda: aws.now, sleep=lambda _: None), watched=False)


def take(aws: Aws, job: JobRecord) -> JobRecord | None:
    return claim.claim_next(sqs.Token(job.pool, job.job_id), worker=worker(aws))


def end(aws: Aws, job: JobRecord) -> None:
    run = RunRecord(job.job_id, int(job.run_no), status=RunStatus.SUCCEEDED, fence=job.fence, created_at=aws.now)
    completion.complete(job, run, now=aws.now)


def waiting(aws: Aws, task: Any, count: int, seed: int = 1, **changes: Any) -> list[JobRecord]:
    return waiting_jobs(task, count, random.Random(seed), now=aws.now, trigger=Trigger.MANUAL, scheduled_for=aws.now)


def a_source(aws: Aws, most: int) -> str:
    common = {"creator": "olga", "created_at": aws.now, "updated_at": aws.now, "kind": "sqlite", "settings": {}}
    concurrency.before_save(concurrency.of_source("shop"), most)
    SourceRecord("shop", name="Shop", max_concurrency=most, **common).save()
    PROBE.works_on = Target(source_id="shop")
    return "shop"


def as_stored(aws: Aws, job: JobRecord) -> JobRecord:
    return jobs.get(job.job_id)


@pytest.mark.parametrize(("of_task", "of_source", "most"), [(3, None, 3), (None, 2, 2), (3, 2, 2)])
def test_eight_workers_never_exceed_a_limit_and_never_get_stuck(
    aws: Aws, of_task: int | None, of_source: int | None, most: int
) -> None:
    if of_source is not None:
        a_source(aws, of_source)
    limited = a_task(aws.now, max_concurrency=of_task)
    PROBE.works_on = Target()
    made = waiting(aws, limited, 40) + waiting(aws, a_task(aws.now), 20, seed=2)
    lock, full, active, seen = threading.Lock(), threading.Event(), 0, []

    def play(token: JobRecord, me: claim.Worker) -> None:
        nonlocal active
        job = claim.claim_next(sqs.Token(token.pool, token.job_id), worker=me)
        if job is None:
            return
        if job.task_id == limited.task_id:
            with lock:
                active += 1
                seen.append(active)
                if active == most:
                    full.set()
            # Meanwhile the other workers claim.
            full.wait(PATIENCE)
            threading.Event().wait(0.002)
            with lock:
                active -= 1
        end(aws, job)

    tokens = made
    while tokens:
        at_once(tokens, play, now=aws.now, until=WORK_TIME)
        sent, aws.queue.messages = aws.queue.messages, []
        tokens = [jobs.get(sqs.parse(message.body).job_id) for message in sent]
    assert max(seen) == most
    assert {as_stored(aws, job).status for job in made} == {JobStatus.SUCCEEDED}
    names = [concurrency.of_task(limited.task_id), concurrency.of_source("shop")]
    assert [store.holders(name) for name in names] == [set(), set()]


def test_the_queue_goes_on_behind_parked_jobs_and_they_come_back_by_rank(aws: Aws) -> None:
    limited = waiting(aws, a_task(aws.now, max_concurrency=1), 6)
    free = waiting(aws, a_task(aws.now), 6, seed=2)
    order = []
    running = None
    for token in limited + free:
        job = take(aws, token)
        if job is not None and job.task_id == limited[0].task_id:
            assert running is None, "one at a time"
            running = job
        if job is not None:
            order.append(job)
    assert [job.job_id for job in order if job.task_id == free[0].task_id] == _ranked(free), (
        "no other job waits for parked ones"
    )
    while running is not None:
        end(aws, running)
        [message] = [each for each in aws.queue.messages if each] or [None]
        if message is None:
            break
        aws.queue.messages.clear()
        running = take(aws, jobs.get(sqs.parse(message.body).job_id))
        order += [running] if running is not None else []
    assert [job.job_id for job in order if job.task_id == limited[0].task_id] == _ranked(limited)


def _ranked(made: list[JobRecord]) -> list[str]:
    return [job.job_id for job in sorted(made, key=lambda job: (int(job.rank), job.job_id))]


def full(aws: Aws) -> tuple[Any, JobRecord, list[JobRecord]]:
    """A task with a limit of one, its active job, and its two parked ones."""
    task = a_task(aws.now, max_concurrency=1)
    made = waiting(aws, task, 3)
    claimed = take(aws, made[0])
    assert claimed is not None
    assert take(aws, made[1]) is None
    parked = [jobs.get(job.job_id) for job in made if job.job_id != claimed.job_id]
    assert {job.ready_pool for job in parked} == {parked_key(concurrency.of_task(task.task_id))}
    aws.queue.messages.clear()
    return task, claimed, parked


@pytest.mark.parametrize("change", [2, None, "deleted"])
def test_a_limit_that_is_raised_cleared_or_deleted_releases_the_parked_jobs(aws: Aws, change: Any) -> None:
    task, _, parked = full(aws)
    if change == "deleted":
        task_editing.delete(task.task_id, actor=OPERATOR, now=aws.now)
    else:
        task_editing.patch(task.task_id, {"max_concurrency": change}, revision=None, actor=OPERATOR, now=aws.now)
    best = sorted(parked, key=lambda job: (int(job.rank), job.job_id))
    released = [sqs.parse(message.body).job_id for message in aws.queue.messages]
    assert released == [job.job_id for job in best[: 1 if change == 2 else 2]]
    assert all(take(aws, jobs.get(job_id)) is not None for job_id in released)


def test_a_new_limit_holds_for_jobs_that_wait_already(aws: Aws) -> None:
    task = a_task(aws.now)
    made = waiting(aws, task, 3)
    task_editing.patch(task.task_id, {"max_concurrency": 1}, revision=None, actor=OPERATOR, now=aws.now)
    assert [take(aws, job) is not None for job in made] == [True, False, False]


def test_a_new_limit_counts_the_jobs_that_are_active_already(aws: Aws) -> None:
    task = a_task(aws.now)
    made = waiting(aws, task, 4)
    active = [job for job in (take(aws, made[0]), take(aws, made[1])) if job is not None]
    as_claimed = [jobs.get(job.job_id) for job in active]
    task_editing.patch(task.task_id, {"max_concurrency": 1}, revision=None, actor=OPERATOR, now=aws.now)
    rest = [job for job in made if job.job_id not in {job.job_id for job in active}]
    assert [take(aws, job) for job in rest] == [None, None]
    end(aws, as_claimed[0])
    assert aws.queue.messages == [], "the other one is still active"
    end(aws, as_claimed[1])
    [released] = [sqs.parse(message.body).job_id for message in aws.queue.messages]
    assert take(aws, jobs.get(released)) is not None


def test_a_parked_job_is_released_though_the_index_still_shows_the_one_before_it(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, first, parked = full(aws)
    as_shown, read = jobs.first_ready_ids(parked_key(concurrency.of_task(task.task_id)), 9), jobs.first_ready_ids
    assert sorted(as_shown) == sorted(job.job_id for job in parked)
    end(aws, first)
    second = take(aws, jobs.get(as_shown[0]))
    assert second is not None
    aws.queue.messages.clear()
    monkeypatch.setattr(
        jobs, "first_ready_ids", lambda key, count: as_shown[:count] if key.startswith("~") else read(key, count)
    )
    end(aws, second)
    assert [sqs.parse(message.body).job_id for message in aws.queue.messages] == as_shown[1:]


def test_a_changed_priority_moves_a_parked_job(aws: Aws) -> None:
    _, active, parked = full(aws)
    worst = max(parked, key=lambda job: int(job.rank))
    assert job_updates.set_priority(worst, 5000)
    end(aws, active)
    assert [sqs.parse(message.body).job_id for message in aws.queue.messages] == [worst.job_id]


def test_the_permit_of_a_claim_that_never_wrote_is_taken_back_and_the_claim_made_to_fail(aws: Aws) -> None:
    task = a_task(aws.now, max_concurrency=1)
    slow, other = waiting(aws, task, 2)
    limit, fence = concurrency.of_task(task.task_id), ulid(aws.now)
    as_read = jobs.get(slow.job_id)
    assert concurrency.Permits(pools.state("cloud").limited).acquire(as_read, fence, now=aws.now) == {limit}
    aws.forward(30)
    assert take(aws, other) is None, "the claim may still be on its way"
    aws.forward(31)
    concurrency.repair(limit, now=aws.now)
    assert store.holders(limit) == set()
    until = aws.now + WORK_TIME
    assert not job_transitions.claim(
        as_read, worker="slow", fence=fence, lease_until=until, now=aws.now, holds=frozenset({limit})
    )


def lived_through(aws: Aws, dies_at: int | None) -> int:
    """Play two jobs of a task with a limit of one from token to end; the process dies at a moment. How many it had."""
    task = a_task(aws.now, max_concurrency=1, retry={"max_attempts": 5, "delay_seconds": 0})
    made = [starts.run(task.task_id, actor=OPERATOR, now=aws.now) for _ in range(2)]
    active, moments, started = 0, 0, 0

    def deliver() -> None:
        """Give each message to a worker of its own; while the first job runs, the second one's token comes."""
        nonlocal active, started
        while due := aws.queue.due():
            message = due[0]
            message.due = aws.now + VISIBILITY
            job = claim.claim_next(sqs.parse(message.body), worker=worker(aws))
            if job is not None:
                started += 1
                active = max(active, sum(1 for _ in JobRecord.scan(JobRecord.status == JobStatus.RUNNING)))
                if started == 1:
                    deliver()
                run = RunRecord(job.job_id, int(job.run_no), status=RunStatus.SUCCEEDED, fence=job.fence)
                run.created_at = run.ended_at = aws.now
                assert runs.end(run)
                completion.complete(job, run, now=aws.now)
            aws.queue.done(message)

    def moment(name: str) -> None:
        nonlocal moments
        if "Scan" not in name:
            moments += 1
            if moments == dies_at:
                raise Dead(name)

    def process(act: Callable[[], object]) -> None:
        aws.moment = moment
        with suppress(Dead):
            act()
        aws.moment = lambda name: None

    for seconds in (0, 61, 61, 900, 61, 61, 900, 61, 61, 600, 61, 600, 61, 0):
        aws.forward(seconds)
        process(lambda: sweep.sweep(now=aws.now))
        process(deliver)
        if all(jobs.get(job.job_id).status in ENDED for job in made) and not aws.queue.messages:
            break
    where = f"crash {dies_at}"
    assert {jobs.get(job.job_id).status for job in made} == {JobStatus.SUCCEEDED}, where
    assert active == 1, where
    aws.forward(61)
    limit = concurrency.of_task(task.task_id)
    concurrency.repair(limit, now=aws.now)
    assert store.holders(limit) == set(), where
    return moments


def test_a_worker_that_dies_at_any_call_neither_exceeds_a_limit_nor_blocks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for constant in ("store.tasks.DUE_SHARDS", "store.jobs.LEASE_SHARDS", "maintenance.sweep.LEASE_SHARDS"):
        monkeypatch.setattr(f"chalicelib.{constant}", 1)
    with monkeypatch.context() as patch, contended_tables(patch) as aws:
        moments = lived_through(aws, None)
        for point in range(1, moments + 1):
            aws.empty()
            lived_through(aws, point)
    assert moments > 40
