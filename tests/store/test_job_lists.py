from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core.lifecycle import OPEN, JobStatus, Reason
from chalicelib.jobs import listing as job_listing
from chalicelib.paging import PAGE_SIZES
from chalicelib.queue import pools
from chalicelib.store.job_list_plan import JobFilter
from tests.support.quick_queries import quick_queries
from tests.support.random_jobs import COLUMNS, NOW, SPAN, PlainJob, listed, random_jobs, write
from tests.support.world import World

SEARCHES = ["daily", "DAILY F", "报表", "straße", "STRASSE", "%", "_", "=", "'", '"', "x", "ü", "nothing has this"]
COMBINATIONS = 200


def values(jobs: Sequence[PlainJob]) -> dict[str, list[Any]]:
    """What each filter is asked for: all that occurs of a column, and something that does not."""
    whole = {name: [value for value in found if value is not None] for name, found in COLUMNS.items()}
    days = [NOW - SPAN * part for part in (1.1, 0.9, 0.5, 0.1)]
    return {
        **{name: [*found, "nobody's"] for name, found in whole.items() if name != "trigger"},
        "trigger": whole["trigger"],
        "reason": list(Reason),
        "status": [
            *[[status] for status in JobStatus],
            [JobStatus.WAITING, JobStatus.ASSIGNED],
            [JobStatus.RUNNING, JobStatus.FAILED, JobStatus.MISSED],
            [JobStatus.FAILED, JobStatus.FAILED],
            list(JobStatus),
        ],
        "search": SEARCHES,
        "task_id": ["task-1", "task-2", "task-3", "task-none"],
        "job_id": [jobs[0].job_id, jobs[-1].job_id, "none"],
        "created_from": [*days, NOW + timedelta(days=1), jobs[7].at],
        "created_to": [*days[::-1], NOW + timedelta(days=1), jobs[7].at],
    }


def singles(jobs: Sequence[PlainJob]) -> Iterator[dict[str, Any]]:
    yield {}
    for name, found in values(jobs).items():
        for value in found:
            yield {name: value}


def combinations(jobs: Sequence[PlainJob], draw: random.Random) -> Iterator[dict[str, Any]]:
    """Two to five filters. Half of them are the columns of some job, so that it at least is found."""
    asked = values(jobs)
    for number in range(COMBINATIONS):
        chosen = draw.sample([name for name in asked if name != "job_id" or number % 20 == 0], draw.randint(2, 5))
        filters = {name: draw.choice(asked[name]) for name in chosen}
        if number % 2:
            job = draw.choice(jobs)
            same = {name: job.get(name) for name in chosen if name in (*COLUMNS, "reason", "job_id", "task_id")}
            filters |= {name: value for name, value in same.items() if value is not None}
            filters |= {"status": [job.status, JobStatus.FAILED]} if "status" in chosen else {}
            filters |= {"search": job.task_name[1:4].upper()} if "search" in chosen and len(job.task_name) > 3 else {}
            filters |= {"created_from": job.at} if "created_from" in chosen else {}
            filters |= {"created_to": job.at + timedelta(days=9)} if "created_to" in chosen else {}
        if "created_from" in filters and "created_to" in filters:
            filters["created_from"], filters["created_to"] = sorted([filters["created_from"], filters["created_to"]])
        yield filters


def pages(filters: dict[str, Any], matches: int, page_size: int, draw: random.Random) -> set[int]:
    """The first page, the last, one beyond, or any; of a filter alone, the first too."""
    last = max(1, -(-matches // page_size))
    one = draw.choice([1, last, last + 1, last + 1_000, draw.randint(1, last)])
    return {one} if len(filters) > 1 else {1, one}


@pytest.mark.slow
def test_every_list_is_what_plain_python_gives(backend: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # More than the reader asks for at once; ministack looks at every item for every query.
    jobs = random_jobs(5_000, skew=0.9)
    write(jobs, threads=1 if backend.in_process else 4)
    if backend.in_process:
        quick_queries(monkeypatch, key="job_id")
    draw = random.Random(3)
    wrong = []
    for filters in [*singles(jobs), *combinations(jobs, draw)]:
        oldest_first, page_size = draw.random() < 0.3, draw.choices(PAGE_SIZES, weights=[6, 3, 2, 1])[0]
        sort = "created_at" if oldest_first else draw.choice([None, "-created_at"])
        expected = listed(jobs, oldest_first=oldest_first, **filters)
        for number in pages(filters, len(expected), page_size, draw):
            found = job_listing.listing(JobFilter(**filters), now=NOW, sort=sort, page=number, page_size=page_size)
            shown = ([row.job_id for row in found.items], found.total, found.pages, found.total_is_lower_bound)
            start = (number - 1) * page_size
            right = (expected[start : start + page_size], len(expected), -(-len(expected) // page_size), False)
            if shown != right:
                wrong.append((filters, sort, number, page_size, shown[1:], right[1:]))
    assert wrong == []
    open_ = Counter((job.columns["pool"], job.columns["kind"], job.status) for job in jobs if job.status in OPEN)
    counted = pools.counts()
    assert {
        (row["pool"], row["kind"], status): row[status] for row in counted for status in OPEN if row[status]
    } == open_
