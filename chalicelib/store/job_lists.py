"""Pages of jobs: ids from the index that the plan chose, the page's rows from the table, the total from keys."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from chalicelib.core.ids import months_between
from chalicelib.core.lifecycle import OPEN, JobStatus
from chalicelib.errors import Invalid
from chalicelib.settings import settings
from chalicelib.store import job_list_reader, jobs, task_names
from chalicelib.store.base import client
from chalicelib.store.job_list_plan import MOST_TASKS, JobFilter, Partition, matches, plan
from chalicelib.store.job_record import JobRecord

# A page is found by reading the entries before it. Jobs further in are found by narrowing the time.
REACH = 100_000


def page(
    wanted: JobFilter, *, oldest_first: bool, page: int, page_size: int, limit: int, since: datetime, until: datetime
) -> tuple[list[JobRecord], int]:
    """The page's rows and the number of matches, counted up to `limit` + 1.

    `since` and `until` bound the months that are read where the filter leaves them open. Raises Invalid for a page
    that begins more than REACH matches in.
    """
    skip = (page - 1) * page_size
    if wanted.job_id is not None:
        job = jobs.find(wanted.job_id)
        found = [] if job is None or not matches(wanted, job) else [job]
        return found[skip : skip + page_size], len(found)
    reach = min(skip + page_size, REACH)
    readers = _readers(wanted, oldest_first=oldest_first, reach=reach, since=since, until=until)
    ids = job_list_reader.merged(readers, oldest_first=oldest_first, wanted=reach)
    if skip >= REACH == len(ids):
        raise Invalid(f"Only the first {REACH:,} jobs are paged through; narrow the list by time.", field="page")
    if not ids[skip:]:
        return [], min(len(ids), limit + 1)
    with ThreadPoolExecutor(1) as pool:
        rows = pool.submit(_rows, ids[skip:])
        total = len(ids) + job_list_reader.count_rest(readers, limit=max(0, limit + 1 - len(ids)))
        return rows.result(), min(total, limit + 1)


def ids(wanted: JobFilter, *, limit: int, since: datetime, until: datetime) -> list[str]:
    """Ids of the first `limit` matches, newest first, from the index alone."""
    if wanted.job_id is not None:
        job = jobs.find(wanted.job_id)
        return [] if job is None or not matches(wanted, job) else [wanted.job_id]
    readers = _readers(wanted, oldest_first=False, reach=limit, since=since, until=until)
    return job_list_reader.merged(readers, oldest_first=False, wanted=limit)


def _readers(
    wanted: JobFilter, *, oldest_first: bool, reach: int, since: datetime, until: datetime
) -> list[job_list_reader.Reader]:
    """Readers of the lanes of the filter's plan, for a merge that takes `reach` ids."""
    months = months_between(
        max(wanted.created_from or since, since),
        min(wanted.created_to or until, until),
        oldest_first=oldest_first,
    )
    planned = plan(
        wanted,
        months=months,
        shards=settings().timeline_shards,
        tasks_named=lambda text: task_names.tasks_named(text, limit=MOST_TASKS + 1),
    )
    left_out = job_list_reader.ids_in(planned.but_open)
    return job_list_reader.readers(planned.lanes, oldest_first=oldest_first, wanted=reach, left_out=left_out)


def _rows(ids: list[str]) -> list[JobRecord]:
    """The jobs of these ids, in their order; one deleted meanwhile, or that this version cannot read, is left out."""
    readable, _ = jobs.get_readable(ids)
    found = {job.job_id: job for job in readable}
    return [found[job_id] for job_id in ids if job_id in found]


def open_counts() -> Counter[tuple[str, str, JobStatus]]:
    """How many jobs of each pool, kind and open status there are, from the entries of these statuses alone."""
    found: Counter[tuple[str, str, JobStatus]] = Counter()
    for status in sorted(OPEN):
        partition = Partition("by_status", "status", status, None, None)
        for answer in client().get_paginator("query").paginate(**partition.query(), ProjectionExpression="facets"):
            for item in answer["Items"]:
                named = dict(each.split("=", 1) for each in item["facets"]["SS"])
                found[named["pool"], named["kind"], status] += 1
    return found
