"""A batch while it works: its counts move, and a cancel stops it within the part at hand."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus
from chalicelib.jobs import batch_listing, batch_worker, batches
from chalicelib.store import batches as store
from chalicelib.store import job_transitions
from chalicelib.store import jobs as job_store
from chalicelib.store.batches import BatchStatus
from chalicelib.store.job_record import JobRecord
from tests.support.batches import begin, outcomes_of, step
from tests.support.copies import a_job, copies
from tests.support.simulator import OPERATOR, Stage


def during(monkeypatch: pytest.MonkeyPatch, number: int, act: Any) -> None:
    """Do something right after this many jobs were ended."""
    real, ended = job_transitions.end_without_run, 0

    def end_without_run(job: JobRecord, *given: Any, **named: Any) -> bool:
        nonlocal ended
        done = real(job, *given, **named)
        ended += done
        if ended == number:
            act()
        return done

    monkeypatch.setattr(job_transitions, "end_without_run", end_without_run)


def test_a_cancel_stops_a_batch_within_the_part_at_hand(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = copies(stage, a_job(stage), 90)
    batch = begin(stage, "cancel", job_ids=ids)
    during(monkeypatch, 30, lambda: batches.cancel(batch.batch_id, actor=OPERATOR, now=stage.now))
    step(stage, batch)
    done = store.get(batch.batch_id)
    # The group of the thirtieth job is ended, the rest of the part is left alone.
    expected = 2 * batch_worker.GROUP_JOBS
    assert (done.status, done.open_counts) == (BatchStatus.CANCELED, None)
    assert batch_listing.counts(done)["done"] == expected
    assert batch_listing.counts(done)["canceled"] == len(ids) - expected
    statuses = list(job_store.statuses_of(ids).values())
    assert statuses.count(JobStatus.CANCELED) == expected
    found = outcomes_of(done)
    assert [found[job_id][0] for job_id in ids] == ["done"] * expected + ["canceled"] * (len(ids) - expected)


def test_the_counts_move_while_a_part_is_worked_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = copies(stage, a_job(stage), 60)
    batch = begin(stage, "cancel", job_ids=ids)
    seen: list[dict[str, int]] = []
    during(monkeypatch, 45, lambda: seen.append(batch_listing.counts(store.get(batch.batch_id))))
    step(stage, batch)
    assert seen == [{"done": 40, "refused": 0, "not_found": 0, "canceled": 0, "pending": 20}]
    assert batch_listing.counts(store.get(batch.batch_id))["done"] == 60


def test_a_worker_that_lost_the_batch_stops_within_the_part(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = copies(stage, a_job(stage), 90)
    batch = begin(stage, "cancel", job_ids=ids)

    def another_takes_it() -> None:
        stage.world.now += batches.LEASE
        assert store.acquire(store.get(batch.batch_id), holder="other", now=stage.now, until=stage.now + batches.LEASE)

    during(monkeypatch, 5, another_takes_it)
    step(stage, batch)
    statuses = list(job_store.statuses_of(ids).values())
    assert statuses.count(JobStatus.CANCELED) == batch_worker.GROUP_JOBS
    assert store.get(batch.batch_id).closed == 0
