"""A batch of thousands of jobs on the emulator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.aws import sqs
from chalicelib.jobs import batch_listing, batch_worker, batches
from chalicelib.store import batches as store
from chalicelib.store import job_transitions
from chalicelib.store.batches import BatchStatus
from chalicelib.store.job_record import JobRecord
from tests.support.batches import begin, counted, entries, outcomes_of, waiting, watches
from tests.support.copies import a_job, copies
from tests.support.dying import Died
from tests.support.ministack import ministack_world
from tests.support.simulator import Stage, a_stage


@pytest.fixture
def emulated(ministack: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage on the emulator, which writes several times as fast as moto, and from several threads."""
    monkeypatch.setattr(batch_worker, "THREADS", 8)
    with ministack_world(ministack, monkeypatch) as world:
        yield a_stage(world, monkeypatch)
        sqs.client("sqs").meta.events.unregister("before-parameter-build.sqs.SendMessageBatch", unique_id="tests-delay")


def test_three_thousand_waiting_jobs_are_cancelled_once_each_though_the_worker_dies(
    emulated: Stage, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    """By filter; the Lambda is killed in the middle of a part, and only the sweep notices."""
    stage = emulated
    job = a_job(stage)
    ids = [job.job_id, *copies(stage, job, 2_999)]
    ended: Counter[str] = Counter()
    lives = [1_234]
    real = job_transitions.end_without_run

    def end_without_run(job: JobRecord, *args: Any, **named: Any) -> bool:
        if lives and sum(ended.values()) >= lives[0]:
            raise Died
        done = real(job, *args, **named)
        ended[job.job_id] += done
        return done

    monkeypatch.setattr(job_transitions, "end_without_run", end_without_run)
    batch = begin(stage, "cancel", **waiting())
    assert batch.total == 3_000
    message = next(each for each in stage.messages if "batch" in each.body)
    stage.messages.clear()
    with pytest.raises(Died):
        stage.work(message.body)
    half = store.get(batch.batch_id)
    assert (half.status, half.closed) == (BatchStatus.RUNNING, 12)
    assert sum(ended.values()) >= 1_234
    lives.clear()
    # The queue's own message is lost with the worker. The sweep that repairs jobs resumes the batch.
    monkeypatch.setattr("chalicelib.maintenance.sweep._repair_waiting", lambda *args, **named: None)
    stage.world.now += batches.LEASE + timedelta(seconds=1)
    stage.sweep()
    (again,) = stage.messages
    stage.messages.clear()
    closed = int(half.closed) * store.PART_JOBS
    with counted() as calls:
        stage.work(again.body)
    done = store.get(batch.batch_id)
    assert (done.status, batch_listing.counts(done)["done"]) == (BatchStatus.DONE, 3_000)
    assert set(outcomes_of(done)) == set(ids)
    assert ended == Counter(ids), "every job is ended once"
    assert entries("job") == {("cancel", job_id): 1 for job_id in ids}
    assert watches(stage) == []
    each = sum(calls.values()) / (3_000 - closed)
    record_property("calls to DynamoDB for each job of a batch cancel", round(each, 2))
    assert each <= 3
