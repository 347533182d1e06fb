"""What the first page of a list reads, by count: it must not grow with the table."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus, Reason, Trigger
from chalicelib.jobs import listing as job_listing
from chalicelib.paging import TOTAL_LIMIT
from chalicelib.queue import pools
from chalicelib.store import job_list_reader
from chalicelib.store.job_list_plan import JobFilter
from tests.support.quick_queries import quick_queries
from tests.support.random_jobs import NOW, SPAN, listed, random_jobs, write
from tests.support.read_counts import Reads, reads
from tests.support.world import World

# Each filter alone, with its commonest value and a rare one.
FILTERS: list[dict[str, Any]] = [
    {},
    {"group": "ops"}, {"group": "a=b"},
    {"operator": "olga"}, {"operator": "olga2"},
    {"source_id": "source-1"}, {"source_id": "source-3"},
    {"account_id": "account-1"}, {"account_id": "account-4"},
    {"action": "login"}, {"action": "check"},
    {"reason": Reason.ERROR}, {"reason": Reason.MISFIRE},
    {"status": [JobStatus.SUCCEEDED]}, {"status": [JobStatus.MISSED]}, {"status": [JobStatus.WAITING]},
    {"status": [JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELED]},
    {"status": [status for status in JobStatus if status != JobStatus.SUCCEEDED]},
    {"search": "报表"}, {"search": "daily"}, {"search": "nothing has this"},
    {"task_id": "task-1"},
    {"created_from": NOW - SPAN / 2}, {"created_to": NOW - SPAN / 2},
    {"created_from": NOW - SPAN / 2, "created_to": NOW - SPAN / 4},
]  # fmt: skip

# Filters of few values, which are read in the timeline.
IN_TIMELINE: list[dict[str, Any]] = [
    {"kind": "report_export"}, {"kind": "mock_data"},
    {"pool": "cloud"}, {"pool": "north-1"},
    {"trigger": Trigger.SCHEDULE}, {"trigger": Trigger.RERUN},
]  # fmt: skip
TIMELINE_SHARDS = 2


def first_page(page_size: int, **filters: Any) -> tuple[list[str], Reads]:
    with reads() as found:
        listing = job_listing.listing(JobFilter(**filters), now=NOW, page_size=page_size)
    return [row.job_id for row in listing.items], found


@pytest.mark.parametrize(("count", "page_sizes"), [(400, [10]), pytest.param(4_000, [10, 100], marks=pytest.mark.slow)])
def test_the_first_page_of_a_filter_reads_four_times_its_size_at_most(
    world: World, monkeypatch: pytest.MonkeyPatch, count: int, page_sizes: list[int]
) -> None:
    jobs = random_jobs(count, renamed=False)
    write(jobs)
    quick_queries(monkeypatch, key="job_id")
    above = []
    for filters in FILTERS:
        for page_size in page_sizes:
            ids, found = first_page(page_size, **filters)
            assert ids == listed(jobs, **filters)[:page_size], filters
            assert found.rows == len(ids)
            if found.of_page > 4 * page_size:
                above.append((filters, page_size, found))
    assert above == []


@pytest.mark.parametrize("filters", IN_TIMELINE)
def test_a_filter_of_few_values_reads_the_timeline_little_further_than_its_page(
    world: World, monkeypatch: pytest.MonkeyPatch, filters: dict[str, Any]
) -> None:
    jobs = random_jobs(2_000, renamed=False)
    write(jobs)
    quick_queries(monkeypatch, key="job_id")
    ids, found = first_page(10, **filters)
    assert ids == listed(jobs, **filters)[:10]
    passed = sum(1 for job in jobs if job.job_id >= ids[-1])
    assert found.rows == len(ids)
    assert found.entries <= TIMELINE_SHARDS * job_list_reader.SPARSE_CHUNK + 4 * passed


def test_a_job_asked_for_by_its_id_is_all_that_is_read(world: World) -> None:
    jobs = random_jobs(50)
    write(jobs)
    ids, found = first_page(10, job_id=jobs[3].job_id)
    assert ids == [jobs[3].job_id]
    assert found.queries == []


def test_the_total_is_counted_on_from_the_page_and_only_as_far_as_it_is_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(random_jobs(300))
    quick_queries(monkeypatch, key="job_id")
    _, found = first_page(10, group="ops")
    whole = found.entries + found.counted
    assert whole == len(listed(random_jobs(300), group="ops"))
    monkeypatch.setattr(job_listing, "TOTAL_LIMIT", 30)
    with reads() as found:
        listing = job_listing.listing(JobFilter(group="ops"), now=NOW, page_size=10)
    assert (listing.total, listing.total_is_lower_bound, listing.pages) == (30, True, 3)
    assert found.entries + found.counted == 31
    assert TOTAL_LIMIT == 10_000


def test_counts_of_open_jobs_read_open_jobs_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = random_jobs(300)
    write(jobs)
    quick_queries(monkeypatch, key="job_id")
    with reads() as found:
        pools.counts()
    waiting = [job for job in jobs if job.status in (JobStatus.WAITING, JobStatus.ASSIGNED, JobStatus.RUNNING)]
    assert (found.of_page, found.rows) == (len(waiting), 0)
