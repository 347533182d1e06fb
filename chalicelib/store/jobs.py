"""Jobs: making one, and reading them. `job_transitions.py` and `job_updates.py` change them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from heapq import merge
from itertools import islice

from chalicelib.core.facets import EQUALITIES, facet, facets_of, folded
from chalicelib.core.ids import shard_of
from chalicelib.core.lifecycle import ACTIVE, JobStatus, Move, Reason, sources_of
from chalicelib.errors import JobNotFound
from chalicelib.log import event
from chalicelib.store.base import count_up_to, read_many, saved
from chalicelib.store.job_record import LEASE_SHARDS, JobRecord

# What pynamodb raises for a stored value that is none of its column's, such as a trigger of a later version.
UNREADABLE = (ValueError, TypeError, KeyError)
# Entries of a queue are small: this many cost half a read unit or one.
READY_PAGE = 25


def get(job_id: str) -> JobRecord:
    job = find(job_id)
    if job is None:
        raise JobNotFound(f"There is no job {job_id}.")
    return job


def find(job_id: str) -> JobRecord | None:
    try:
        return JobRecord.get(job_id, consistent_read=True)
    except JobRecord.DoesNotExist:
        return None


def get_many(job_ids: Iterable[str]) -> list[JobRecord]:
    """The jobs that exist among these, read consistently, in no order."""
    return read_many(JobRecord, job_ids)


def get_readable(job_ids: Sequence[str]) -> tuple[list[JobRecord], list[str]]:
    """The same, and the ids of those whose records this version cannot read: they keep no other from being read."""
    try:
        return get_many(job_ids), []
    except UNREADABLE as error:
        if len(job_ids) == 1:
            event("job cannot be read", level="ERROR", job_id=job_ids[0], error=str(error))
            return [], [job_ids[0]]
    half = len(job_ids) // 2
    (found, unreadable), (more, others) = get_readable(job_ids[:half]), get_readable(job_ids[half:])
    return found + more, unreadable + others


def statuses_of(job_ids: Iterable[str]) -> dict[str, JobStatus]:
    """The status of each that exists among these, read consistently: of many jobs, whose records may be large."""
    return {job.job_id: job.status for job in read_many(JobRecord, job_ids, only=["job_id", "status"])}


def task_names_of(job_ids: Iterable[str]) -> dict[str, str]:
    """The name of the task of each job that exists among these, as of now; one read for a hundred of them."""
    found = read_many(JobRecord, job_ids, consistent=False, only=["job_id", "task_name"])
    return {job.job_id: job.task_name for job in found}


# --- making -----------------------------------------------------------------------------------------------------------


def insert(job: JobRecord) -> bool:
    """Put a new job; False when the slot or the request has its job already."""
    job.facets, job.search_name = facets(job, job.status, job.reason), folded(job.task_name)
    return saved(job, JobRecord.job_id.does_not_exist())


def replan(job: JobRecord) -> bool:
    """Plan a slot again with an edited task's definition; False when the slot's job is past that.

    Replaces only a job that has never run and was made by an earlier revision of the task: one still waiting for its
    time, one that the edit took out of the plan, or one recorded ahead as not to run.
    """
    never_run = (JobRecord.run_no == 0) & (JobRecord.task_revision < job.task_revision)
    planned = (JobRecord.status == JobStatus.WAITING) & (JobRecord.admitted == False)  # noqa: E712 - a condition
    withdrawn = (JobRecord.status == JobStatus.CANCELED) & (JobRecord.reason == Reason.BY_POLICY)
    left_out = (JobRecord.status == JobStatus.SKIPPED) & JobRecord.reason.is_in(
        Reason.NON_BUSINESS_DAY, Reason.EMPTY_WINDOW
    )
    job.facets, job.search_name = facets(job, job.status, job.reason), folded(job.task_name)
    assert sources_of(Move.REPLAN, job.status) == {JobStatus.WAITING, JobStatus.CANCELED, JobStatus.SKIPPED}
    # A job that people are deleting keeps the slot's id until it is gone.
    kept = JobRecord.deleted_at.does_not_exist()
    replaceable = planned | withdrawn | left_out if job.status == JobStatus.WAITING else planned | withdrawn
    return saved(job, never_run & kept & replaceable)


# --- reading ----------------------------------------------------------------------------------------------------------


def first_ready_ids(queue_key: str, count: int) -> list[str]:
    """Ids of a queue's first jobs, best rank first. The index lags: a job may be claimed, or missing, for a moment."""
    return [row.job_id for row in JobRecord.ready.query(queue_key, limit=count)]


def ready_entries(
    queue_keys: Sequence[str], *, now: datetime, none_in: Callable[[str], object] = lambda key: None
) -> Iterator[tuple[int, str]]:
    """(rank, id) of the jobs of several queues that are due, best rank first over all of them.

    Reads each queue a page at a time, as far as the caller iterates; the first pages in the order of `queue_keys`.
    `none_in` is told of each queue that holds no job that is due.
    """
    due = JobRecord.not_before <= now

    def entries(key: str) -> Iterator[tuple[int, str]]:
        found = False
        for row in JobRecord.ready.query(key, filter_condition=due, page_size=READY_PAGE):
            found = True
            yield int(row.rank), row.job_id
        if not found:
            none_in(key)

    return merge(*map(entries, queue_keys))


def count_ahead(queue_keys: Sequence[str], rank: int, job_id: str, *, due: datetime, limit: int) -> int:
    """How many jobs of the queues, due by an instant, have a better rank than this one; `limit` at the most."""
    ready, in_time, found = JobRecord.ready, JobRecord.not_before <= due, 0
    for key in queue_keys:
        found += count_up_to(limit - found, ready, key, JobRecord.rank < rank, matching=in_time)
        same_rank = in_time & (JobRecord.job_id < job_id)
        found += count_up_to(limit - found, ready, key, JobRecord.rank == rank, matching=same_rank)
    return found


def lapsed_ids(shard: int, *, now: datetime) -> Iterator[str]:
    """Ids of the entries whose lease has expired, the longest expired first: jobs, and what `watches.py` put there."""
    for row in JobRecord.leases.query(shard, JobRecord.lease_until < now):
        yield row.job_id


def open_ids_of_task(task_id: str, *, before: str | None = None) -> list[str]:
    """Ids of a task's jobs that have not ended, oldest first; `before`: those with smaller ids only."""
    keys = None if before is None else JobRecord.job_id < before
    return [row.job_id for row in JobRecord.active.query(task_id, keys)]


def active_ids(column: str, value: str) -> list[str]:
    """Ids of the active jobs whose column, one of those that are facets, has this value."""
    alike = JobRecord.facets.contains(facet(column, value))
    found = (JobRecord.by_status.query(status, filter_condition=alike) for status in sorted(ACTIVE))
    return [row.job_id for rows in found for row in rows]


def count_active(pool: str) -> int:
    """How many jobs of a pool are active."""
    in_pool = JobRecord.facets.contains(facet("pool", pool))
    return sum(JobRecord.by_status.count(status, filter_condition=in_pool) for status in sorted(ACTIVE))


def newest_ids_in_pool(pool: str, status: JobStatus, *, among: int) -> list[str]:
    """Ids of a pool's jobs that have this status, newest first, as far as they are `among` so many newest of all pools.

    One page of the index, however rare the pool's jobs are.
    """
    newest = JobRecord.by_status.query(status, scan_index_forward=False, page_size=among)
    return [row.job_id for row in islice(newest, among) if facet("pool", pool) in (row.facets or ())]


def facets(job: JobRecord, status: JobStatus, reason: Reason | None, **others: str) -> set[str]:
    """The facets of the job with this status and reason, and with these other columns in place of its own."""
    columns = {name: getattr(job, name) for name in EQUALITIES if name != "reason"}
    return facets_of(columns | {"reason": reason} | others, status)


def lease_shard(job_id: str) -> int:
    return shard_of(job_id, LEASE_SHARDS)
