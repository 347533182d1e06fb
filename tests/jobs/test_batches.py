"""Accepts batches: what a preview counts, which requests are refused, which jobs a batch has; once for each key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib import retention
from chalicelib.core.lifecycle import JobStatus
from chalicelib.errors import Invalid
from chalicelib.jobs import batch_listing, batches
from chalicelib.jobs import listing as job_listing
from chalicelib.jobs.actions import Action
from chalicelib.jobs.batches import MOST_JOBS, BatchRequest
from chalicelib.store import batches as store
from chalicelib.store import jobs as job_store
from chalicelib.store.batches import BatchRecord, BatchStatus
from chalicelib.store.job_list_plan import JobFilter
from tests.support.batches import begin, entries, outcomes_of, run, step, waiting, watches
from tests.support.copies import a_job, copies
from tests.support.simulator import OPERATOR, Stage

ALL: dict[str, Any] = {"filter": JobFilter(), "filter_document": {"created": "all"}}


@pytest.mark.parametrize(
    ("action", "taken", "refused"),
    [("cancel", 3, 7), ("set_priority", 3, 7), ("rerun", 7, 3), ("delete", 7, 3)],
)
def test_a_preview_counts_and_changes_nothing(
    stage: Stage, one_of_each: dict[JobStatus, str], action: str, taken: int, refused: int
) -> None:
    tables = ("jobs", "batches", "audit")
    before = {table: stage.world.items(table) for table in tables}
    priority = 1 if action == "set_priority" else None
    request = BatchRequest(Action(action), job_ids=["none", *one_of_each.values()], priority=priority)
    found = batches.preview(request, now=stage.now)
    assert (found["matched"], found["taken"], found["not_found"]) == (11, taken, 1)
    assert found["statuses"] == dict.fromkeys(sorted(JobStatus), 1)
    assert sum(each["count"] for each in found["refused"]) == refused
    assert {table: stage.world.items(table) for table in tables} == before
    assert stage.world.messages() == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"action": "cancel"}, "job_ids"),
        ({"action": "cancel", "job_ids": ["a"], **ALL}, "job_ids"),
        ({"action": "cancel", "filter": JobFilter(), "filter_document": {}}, "filter"),  # would be every job
        ({"action": "set_priority", "job_ids": ["a"]}, "priority"),
        ({"action": "cancel", "job_ids": ["a"], "priority": 1}, "priority"),
    ],
)
def test_an_invalid_batch_request_is_refused_with_its_field(stage: Stage, given: dict[str, Any], field: str) -> None:
    request = BatchRequest(**given | {"action": Action(given["action"])})
    for ask in (batches.preview, lambda request, now: batches.accept(request, actor=OPERATOR, now=now)):
        with pytest.raises(Invalid) as refused:
            ask(request, now=stage.now)
        assert refused.value.field == field


def test_a_filter_that_matches_too_many_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []

    def many(wanted: JobFilter, *, limit: int, **_: Any) -> list[str]:
        limits.append(limit)
        return [str(number) for number in range(limit)]

    monkeypatch.setattr(job_listing, "ids", many)
    with pytest.raises(Invalid, match="More than 10,000 jobs match") as refused:
        begin(stage, "cancel", **waiting())
    assert (refused.value.field, limits) == ("filter", [MOST_JOBS + 1])
    assert stage.world.items("batches") == []


def test_a_filter_that_matches_nothing_gives_a_batch_that_is_done(stage: Stage) -> None:
    batch = begin(stage, "cancel", **waiting())
    assert (batch.status, batch.total, batch.ended_at) == (BatchStatus.DONE, 0, stage.now)
    assert stage.messages == []
    assert watches(stage) == []
    assert batch_listing.outcomes(batch, outcome=None, page=1, page_size=10).items == []


@pytest.mark.usefixtures("_small_parts")
def test_a_batch_by_filter_has_the_jobs_that_the_list_shows(stage: Stage) -> None:
    mine, other = a_job(stage), a_job(stage)
    ids = [mine.job_id, *copies(stage, mine, 25)]
    batch = begin(stage, "cancel", filter=JobFilter(task_id=mine.task_id), filter_document={"task_id": mine.task_id})
    copies(stage, mine, 3, status=JobStatus.FAILED)
    step(stage, batch)
    assert sorted(outcomes_of(store.get(batch.batch_id))) == sorted(ids)
    assert job_store.get(other.job_id).status == JobStatus.WAITING


def test_the_same_key_gives_the_same_batch(stage: Stage) -> None:
    job = a_job(stage)
    first, second = (begin(stage, "cancel", key="k", job_ids=[job.job_id]) for _ in range(2))
    other = begin(stage, "cancel", key="k-2", job_ids=[job.job_id])
    assert first.batch_id == second.batch_id != other.batch_id
    assert entries("batch") == {("create", first.batch_id): 1, ("create", other.batch_id): 1}


def test_a_batch_is_kept_as_long_as_the_kind_that_is_kept_longest(stage: Stage) -> None:
    run(stage, "cancel", job_ids=["a"])
    (expiry,) = {each.expires_at for each in BatchRecord.scan()}
    assert expiry == stage.now + timedelta(days=retention.longest_days())
