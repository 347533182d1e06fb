from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.ids import ulid
from chalicelib.core.lifecycle import JobStatus
from chalicelib.errors import Invalid
from chalicelib.jobs import listing as job_listing
from chalicelib.paging import Page
from chalicelib.store import job_list_plan, job_list_reader, task_names
from chalicelib.store import job_lists as store
from chalicelib.store.job_list_plan import JobFilter, plan
from tests.support.random_jobs import NOW, PlainJob, write
from tests.support.read_counts import reads
from tests.support.world import World

MONTH = datetime(2026, 2, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def a_job(at: datetime = NOW, number: int = 0, **changes: Any) -> PlainJob:
    given: dict[str, Any] = {"task_id": "task-1", "task_name": "Daily", "status": JobStatus.SUCCEEDED}
    given |= {name: changes.pop(name) for name in list(changes) if name in given}
    columns = {"kind": "probe", "pool": "cloud", "trigger": "schedule"} | changes
    return PlainJob(ulid(at, str(number)), at, columns=columns, **given)


def ids(found: Page) -> list[str]:
    return [row.job_id for row in found.items]


@pytest.mark.parametrize("sort", ["created_at", "-created_at"])
def test_pages_go_on_over_the_border_of_a_month_and_among_ids_of_one_instant(backend: World, sort: str) -> None:
    instants = [MONTH - timedelta(days=40), MONTH - MILLISECOND, MONTH, MONTH + MILLISECOND]
    jobs = [a_job(at, number) for at in instants for number in range(6)]
    write(jobs)
    expected = sorted((job.job_id for job in jobs), reverse=sort == "-created_at")
    seen = [
        each
        for page in (1, 2, 3)
        for each in ids(job_listing.listing(JobFilter(), now=NOW, sort=sort, page=page, page_size=10))
    ]
    assert seen == expected
    before = job_listing.listing(JobFilter(created_to=MONTH), now=NOW, page_size=20)
    since = job_listing.listing(JobFilter(created_from=MONTH), now=NOW, page_size=20)
    assert set(ids(before)) == {job.job_id for job in jobs if job.at < MONTH}
    assert set(ids(since)) == {job.job_id for job in jobs if job.at >= MONTH}
    assert ids(job_listing.listing(JobFilter(created_from=MONTH, created_to=MONTH), now=NOW)) == []


def test_bounds_as_far_as_time_goes_are_bounds(backend: World) -> None:
    job = a_job()
    write([job])
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert ids(job_listing.listing(JobFilter(created_from=first, created_to=last, pool="cloud"), now=NOW)) == [
        job.job_id
    ]
    assert ids(job_listing.listing(JobFilter(created_from=first, created_to=last), now=NOW)) == [job.job_id]
    assert ids(job_listing.listing(JobFilter(created_to=first, pool="cloud"), now=NOW)) == []
    assert ids(job_listing.listing(JobFilter(created_from=last), now=NOW)) == []


def test_a_job_that_was_run_again_late_in_its_life_stays_in_the_list(world: World) -> None:
    job = a_job(NOW - timedelta(days=170))
    write([job])
    assert ids(job_listing.listing(JobFilter(), now=NOW)) == [job.job_id]


def test_a_filter_that_matches_nothing_reads_no_row(world: World) -> None:
    write([a_job(number=number) for number in range(12)])
    with reads() as found:
        page = job_listing.listing(JobFilter(search="nothing", operator="nobody"), now=NOW)
    assert (ids(page), page.total, page.pages) == ([], 0, 0)
    assert (found.entries, found.rows) == (0, 0)


def test_a_row_that_is_gone_meanwhile_is_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [a_job(number=number) for number in range(3)]
    write(jobs)
    whole, gone = store.jobs.get_many, jobs[1].job_id
    monkeypatch.setattr(store.jobs, "get_many", lambda asked: [job for job in whole(asked) if job.job_id != gone])
    assert ids(job_listing.listing(JobFilter(), now=NOW)) == sorted({job.job_id for job in jobs} - {gone}, reverse=True)


def test_a_page_too_far_in_is_refused_and_one_beyond_the_last_is_empty(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "REACH", 20)
    write([a_job(number=number, pool="cloud" if number < 25 else "lab") for number in range(30)])
    assert len(job_listing.listing(JobFilter(pool="cloud"), now=NOW, page=2, page_size=10).items) == 10
    with pytest.raises(Invalid) as refused:
        job_listing.listing(JobFilter(pool="cloud"), now=NOW, page=3, page_size=10)
    assert [problem.field for problem in refused.value.problems] == ["page"]
    beyond = job_listing.listing(JobFilter(pool="lab"), now=NOW, page=1_000_000, page_size=10)
    assert (ids(beyond), beyond.total, beyond.pages) == ([], 5, 1)


def test_a_job_on_its_way_between_two_statuses_is_listed_once() -> None:
    class Ready(job_list_reader.Reader):
        def __init__(self, *given: str):
            super().__init__([], oldest_first=False, chunk=1)
            self.ids = deque(given)

    both = [Ready("3", "2"), Ready("2", "1")]
    assert job_list_reader.merged(both, oldest_first=False, wanted=10) == ["3", "2", "1"]


def test_a_name_that_was_lost_before_the_time_asked_for_is_not_sought(world: World) -> None:
    write([a_job(NOW - timedelta(days=40), task_name="Old"), a_job(task_name="New")])
    task_names.release("task-1", "Old", revision=1, now=NOW - timedelta(days=30), expires_at=NOW + timedelta(days=60))
    with reads() as found:
        page = job_listing.listing(JobFilter(search="old", created_from=NOW - timedelta(days=7)), now=NOW)
    # DynamoDB would refuse the range, which ends before it begins.
    assert (ids(page), page.total, found.queries) == ([], 0, [])


# --- the plan ---------------------------------------------------------------------------------------------------------


def the_plan(tasks: int = 2, **wanted: Any) -> list[tuple[str, str]]:
    """The index and the partition that each lane begins with."""
    named = {f"task-{number}": None for number in range(tasks)}
    found = plan(JobFilter(**wanted), months=["2026-03", "2026-02"], shards=2, tasks_named=lambda text: named)
    return [(lane[0].index, lane[0].value) for lane in found.lanes]


WHOLE_TIMELINE = [("timeline", "2026-03"), ("timeline", "2026-03~1"), ("timeline", "early")]


def test_the_most_selective_filter_chooses_the_index() -> None:
    everything = {
        "account_id": "a", "task_id": "t", "operator": "o", "source_id": "s", "action": "c", "reason": "error",
        "group": "g",
    }  # fmt: skip
    while everything:
        name, value = next(iter(everything.items()))
        assert the_plan(**everything) == [(job_list_plan.INDEXES[name], value)]
        del everything[name]
    assert the_plan() == the_plan(trigger="event", pool="p", kind="k") == WHOLE_TIMELINE


def test_open_statuses_are_read_where_they_are_few_and_ended_ones_by_the_better_index() -> None:
    mixed = [JobStatus.WAITING, JobStatus.FAILED, JobStatus.MISSED]
    assert the_plan(status=mixed, pool="p") == [
        ("by_status", "waiting"), ("by_status", "failed"), ("by_status", "missed"),
    ]  # fmt: skip
    assert the_plan(status=mixed, task_id="t") == [("by_status", "waiting"), ("by_task", "t")]
    assert the_plan(status=[JobStatus.RUNNING], task_id="t") == [("by_status", "running")]
    assert the_plan(status=[JobStatus.FAILED], group="g") == [("by_status", "failed")]
    assert the_plan(status=[JobStatus.FAILED, JobStatus.SUCCEEDED], group="g") == [("by_group", "g")]
    assert the_plan(status=list(JobStatus), kind="k") == WHOLE_TIMELINE


def test_a_search_reads_the_tasks_of_that_name_unless_they_are_many() -> None:
    assert the_plan(search="x", pool="p") == [("by_task", "task-0"), ("by_task", "task-1")]
    assert the_plan(tasks=0, search="x", pool="p") == []
    assert the_plan(tasks=job_list_plan.MOST_TASKS + 1, search="x", pool="p") == WHOLE_TIMELINE
    assert the_plan(search="x", account_id="a") == [("by_account", "a")]


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_that_was_lost_is_found_until_then_and_one_taken_again_is_not_lost(backend: World) -> None:
    later, gone = NOW + timedelta(hours=1), NOW + timedelta(days=400)
    task_names.register("t", "报表 Daily", revision=1)
    task_names.register("t", "Weekly", revision=2)
    task_names.release("t", "报表 Daily", revision=1, now=later, expires_at=gone)
    assert task_names.tasks_named("报表 d", limit=9) == {"t": later}
    assert task_names.tasks_named("ly", limit=9) == {"t": None}
    # Renamed back before the first rename had let go of the name: the late release does nothing.
    task_names.register("t", "报表 DAILY", revision=3)
    task_names.release("t", "报表 Daily", revision=1, now=later, expires_at=gone)
    assert task_names.tasks_named("报表 d", limit=9) == {"t": None}
    assert task_names.tasks_named("yearly", limit=9) == {}


def test_jobs_of_the_former_name_are_not_sought_among_those_made_since(world: World) -> None:
    renamed = NOW - timedelta(days=5)
    former = [a_job(renamed - timedelta(hours=number), task_name="Old") for number in range(3)]
    since = [a_job(renamed + timedelta(hours=number + 1), task_name="New") for number in range(50)]
    write([*former, *since])
    task_names.release("task-1", "Old", revision=1, now=renamed, expires_at=NOW)
    with reads() as found:
        page = job_listing.listing(JobFilter(search="old"), now=NOW)
    assert ids(page) == [job.job_id for job in former]
    assert found.entries == 3
