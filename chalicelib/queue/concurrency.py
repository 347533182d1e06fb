"""`max_concurrency` of a task or a source: no more than so many of its jobs are active at once.

A claim first acquires a permit in each limit of its job. A job that gets none is parked outside its pool's queue, so
that workers go on behind it; each permit that is released lets the best parked job back in. The capacity of a limit is
what the task's or source's record says at the moment of the claim.

What a crash leaves behind: the next worker that finds the limit full takes back the permits of runs that are over or
never began, and `sweep` releases parked jobs whose worker died. Neither disturbs a claim that is still on its way: the
fence of one claim names a permit, and that claim is made to fail before its permit is taken back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from chalicelib.core.ids import instant_of, ulid
from chalicelib.core.lifecycle import ACTIVE
from chalicelib.core.queue_keys import parked_key
from chalicelib.errors import SourceNotFound
from chalicelib.log import event
from chalicelib.queue import leases
from chalicelib.store import concurrency as store
from chalicelib.store import job_updates, jobs, pools, tasks
from chalicelib.store.catalogue import get_source
from chalicelib.store.job_record import JobRecord

# A claim takes milliseconds from its permit to its write: an older permit without a run is stale.
CLAIM_TIME = timedelta(seconds=60)
# While a limit stays full, its permits are compared with its jobs no more often than this: each time reads every job
# that holds one.
CHECK_AGAIN = timedelta(seconds=30)
# Parked jobs released at once; each of them that ends releases another.
RELEASED_AT_ONCE = 500
# The index may still show so many jobs that were released a moment ago: so many more are read.
INDEX_LAG = 25


def of_task(task_id: str) -> str:
    return f"task:{task_id}"


def of_source(source_id: str) -> str:
    return f"source:{source_id}"


def limits_of(job: JobRecord) -> list[str]:
    """What may limit a job, in the order in which its permits are acquired."""
    return [of_task(job.task_id)] + ([of_source(job.source_id)] if job.source_id else [])


def capacity_of(limit: str) -> int | None:
    """The `max_concurrency` of the task's or source's record now; None where it has none, or is gone."""
    kind, _, record_id = limit.partition(":")
    if kind == "task":
        task = tasks.find(record_id)
        value = None if task is None else task.max_concurrency
    else:
        try:
            value = get_source(record_id).max_concurrency
        except SourceNotFound:
            value = None
    return None if value is None else int(value)


@dataclass
class Permits:
    """The limits that one worker meets while it searches for a job to claim."""

    # Every task and source that has a limit: jobs of all others cost no read.
    limited: frozenset[str]
    full: set[str] = field(default_factory=set)
    _capacity: dict[str, int | None] = field(default_factory=dict)

    def acquire(self, job: JobRecord, fence: str, *, now: datetime) -> frozenset[str] | None:
        """Acquire the job's permits for a claim with this fence: the limits that gave one.

        None when a limit is full: then the job is parked behind it.
        """
        acquired: set[str] = set()
        for limit in limits_of(job):
            if limit not in self.limited:
                continue
            if limit not in self._capacity:
                self._capacity[limit] = capacity_of(limit)
            capacity = self._capacity[limit]
            if limit in self.full or (
                capacity is not None and not _acquire(limit, job, fence, capacity=capacity, now=now)
            ):
                self.full.add(limit)
                release(job, fence, acquired, now=now)
                job_updates.park(job, limit)
                return None
            if capacity is not None:
                acquired.add(limit)
        return frozenset(acquired)

    def release_parked_of_full(self, *, now: datetime) -> None:
        """Release jobs parked behind limits that were full: a permit released before they were parked found none."""
        for limit in sorted(self.full):
            release_parked(limit, now=now)


def _acquire(limit: str, job: JobRecord, fence: str, *, capacity: int, now: datetime) -> bool:
    permit = store.permit(job.job_id, fence)
    return store.acquire(limit, permit, capacity=capacity) or (
        _reclaim_stale(limit, now=now) > 0 and store.acquire(limit, permit, capacity=capacity)
    )


def release(job: JobRecord, fence: str, limits: Iterable[str], *, now: datetime) -> None:
    """Release the permits of one claim, and the jobs parked for want of them. May be repeated."""
    for limit in sorted(limits):
        in_use = store.release(limit, {store.permit(job.job_id, fence)})
        release_parked(limit, now=now, in_use=in_use)


def release_all(job: JobRecord, *, now: datetime) -> None:
    """Release all permits of a job whose run has ended."""
    if job.holds:
        release(job, str(job.fence), job.holds, now=now)


def repair(limit: str, *, now: datetime) -> None:
    """For `sweep`, which found a job that is parked for long: take back stale permits, then release parked jobs."""
    _reclaim_stale(limit, now=now)
    release_parked(limit, now=now)


def release_parked(limit: str, *, now: datetime, in_use: int | None = None) -> None:
    """Put the best parked jobs back into their pool's queue, as many as permits are free, and send their tokens.

    `in_use` is the number of permits that are not free, if the caller has just read it.
    """
    capacity = capacity_of(limit)
    free = RELEASED_AT_ONCE
    if capacity is not None:
        free = min(RELEASED_AT_ONCE, capacity - (len(store.holders(limit)) if in_use is None else in_use))
    if free <= 0:
        return
    key = parked_key(limit)
    parked = iter(jobs.first_ready_ids(key, free + INDEX_LAG))
    while free > 0 and (best := list(islice(parked, free))):
        found, _ = jobs.get_readable(best)
        for job in sorted(found, key=lambda each: (each.rank, each.job_id)):
            if job.ready_pool == key and job_updates.make_ready(job):
                leases.send_token(job, now=now)
                free -= 1


def _reclaim_stale(limit: str, *, now: datetime) -> int:
    """Take back the permits that no run needs: their number."""
    if not store.begin_check(limit, now=now, not_since=now - CHECK_AGAIN):
        return 0
    claims = {permit: store.claim_of(permit) for permit in store.holders(limit)}
    old = {permit: claim for permit, claim in claims.items() if now - instant_of(claim[1]) > CLAIM_TIME}
    found = {job.job_id: job for job in jobs.get_many(job_id for job_id, _ in old.values())} if old else {}
    stale = {permit for permit, (job_id, fence) in old.items() if _is_stale(found.get(job_id), fence, now=now)}
    if stale:
        store.release(limit, stale)
        event("permits taken back", level="WARN", limit=limit, permits=len(stale))
    return len(stale)


def _is_stale(job: JobRecord | None, fence: str, *, now: datetime) -> bool:
    """Whether the claim with this fence is over, or will fail from here on."""
    if job is None or job.fence == fence:
        return job is None or job.status not in ACTIVE
    # An active job: another claim was quicker. Otherwise this claim may still be on its way, and is made to fail.
    return job.status in ACTIVE or job_updates.refuse_claims(job, fence=ulid(now))


# --- when the record that has the limit is edited ---------------------------------------------------------------------


def before_save(limit: str, capacity: float | None) -> None:
    """Before the record is written: every claim counts from that write on. A limit that is cleared stays registered."""
    if capacity is not None:
        pools.register(limit)


def after_save(limit: str, *, before: float | None, after: float | None, now: datetime) -> None:
    """After the record was written: a new limit counts the active jobs; a greater one releases parked jobs."""
    if before is None and after is not None:
        _count_active(limit)
    if before is not None and (after is None or after > before):
        release_parked(limit, now=now)


def _count_active(limit: str) -> None:
    """Give permits to the jobs that are active already. `_reclaim_stale` takes that of a job that ends meanwhile."""
    kind, _, record_id = limit.partition(":")
    ids = jobs.active_ids(f"{kind}_id", record_id)
    for job in jobs.get_many(ids) if ids else []:
        if job.status in ACTIVE and limit not in (job.holds or ()):
            store.acquire_beyond(limit, store.permit(job.job_id, str(job.fence)))
            job_updates.count_against(job, limit)


def after_delete(limit: str, *, before: float | None, now: datetime) -> None:
    """After the record was deleted: its jobs need no permit any more."""
    pools.unregister(limit)
    if before is not None:
        release_parked(limit, now=now)
        store.remove(limit)
