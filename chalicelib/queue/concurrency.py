"""`max_concurrency` of a task or a source: at most so many of its jobs are active, whoever works and whoever dies.

A claim takes a permit in each limit of its job first. A job for which there is none is parked outside its pool's line,
so that the line goes on behind it; a permit that is given back lets the best of the parked ones in again. The number is
the record's own at the moment of the claim.

What a crash leaves: a permit whose run is over, or never began, is given back by whoever finds the limit full, and a
parked job whose caller died is let in by `sweep`. Neither can be wrong about a claim that is still on its way: a permit
is named by the fence of one claim, and that claim is made to fail before its permit is given back.
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

# A claim takes milliseconds from its permit to its write: an older permit without a run is looked into.
CLAIM_TIME = timedelta(seconds=60)
# A limit that stays full is not compared with its jobs more often than this: that reads as many jobs as it admits.
CHECK_AGAIN = timedelta(seconds=30)
# Parked jobs let in at once; each one that ends lets in another.
RELEASED_AT_ONCE = 500
# The index may still show so many that were let in a moment ago: those behind them are looked at too.
LAGGING = 25


def of_task(task_id: str) -> str:
    return f"task:{task_id}"


def of_source(source_id: str) -> str:
    return f"source:{source_id}"


def limits_of(job: JobRecord) -> list[str]:
    """What may limit a job, in the order in which permits are taken."""
    return [of_task(job.task_id)] + ([of_source(job.source_id)] if job.source_id else [])


def capacity_of(limit: str) -> int | None:
    """The number the task's or the source's record says now; None when it says none, or is gone."""
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
    """The limits as one worker meets them while it looks for a job."""

    # What is limited at all: the jobs of everything else cost nothing.
    limited: frozenset[str]
    full: set[str] = field(default_factory=set)
    _capacity: dict[str, int | None] = field(default_factory=dict)

    def acquire(self, job: JobRecord, fence: str, *, now: datetime) -> frozenset[str] | None:
        """Take the job's permits for a claim with this fence; None when there is none, and the job is parked."""
        taken: set[str] = set()
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
                release(job, fence, taken, now=now)
                job_updates.park(job, limit)
                return None
            if capacity is not None:
                taken.add(limit)
        return frozenset(taken)

    def release_parked_of_full(self, *, now: datetime) -> None:
        """A permit that was given back before a job was parked let nobody in: let somebody in now."""
        for limit in sorted(self.full):
            release_parked(limit, now=now)


def _acquire(limit: str, job: JobRecord, fence: str, *, capacity: int, now: datetime) -> bool:
    permit = store.permit(job.job_id, fence)
    return store.acquire(limit, permit, capacity=capacity) or (
        _reclaim_stale(limit, now=now) > 0 and store.acquire(limit, permit, capacity=capacity)
    )


def release(job: JobRecord, fence: str, limits: Iterable[str], *, now: datetime) -> None:
    """Give back the permits of one claim, and let in whoever waits for them. May be repeated."""
    for limit in sorted(limits):
        taken = store.release(limit, {store.permit(job.job_id, fence)})
        release_parked(limit, now=now, taken=taken)


def release_all(job: JobRecord, *, now: datetime) -> None:
    """The job's run has ended: its permits are free."""
    if job.holds:
        release(job, str(job.fence), job.holds, now=now)


def repair(limit: str, *, now: datetime) -> None:
    """Repair a limit that a parked job has waited for: take back what no run needs, let in what there is room for."""
    _reclaim_stale(limit, now=now)
    release_parked(limit, now=now)


def release_parked(limit: str, *, now: datetime, taken: int | None = None) -> None:
    """Put the best of the parked jobs into their pool's line, as many as there is room for, and send their tokens."""
    number = capacity_of(limit)
    room = RELEASED_AT_ONCE
    if number is not None:
        room = min(RELEASED_AT_ONCE, number - (len(store.holders(limit)) if taken is None else taken))
    if room <= 0:
        return
    here = parked_key(limit)
    parked = iter(jobs.first_ready_ids(here, room + LAGGING))
    while room > 0 and (best := list(islice(parked, room))):
        for job in sorted(jobs.get_many(best), key=lambda each: (each.rank, each.job_id)):
            if job.ready_pool == here and job_updates.make_ready(job):
                leases.send_token(job, now=now)
                room -= 1


def _reclaim_stale(limit: str, *, now: datetime) -> int:
    """Give back the permits that no run needs; how many."""
    if not store.begin_check(limit, now=now, not_since=now - CHECK_AGAIN):
        return 0
    held = {permit: permit.partition("/") for permit in store.holders(limit)}
    old = {
        permit: (job_id, fence) for permit, (job_id, _, fence) in held.items() if now - instant_of(fence) > CLAIM_TIME
    }
    found = {job.job_id: job for job in jobs.get_many(job_id for job_id, _ in old.values())} if old else {}
    left = {permit for permit, (job_id, fence) in old.items() if _is_stale(found.get(job_id), fence, now=now)}
    if left:
        store.release(limit, left)
        event("permits taken back", level="WARN", limit=limit, permits=len(left))
    return len(left)


def _is_stale(job: JobRecord | None, fence: str, *, now: datetime) -> bool:
    """Whether the claim with this fence is over or, from here on, cannot come about."""
    if job is None or job.fence == fence:
        return job is None or job.status not in ACTIVE
    # Another claim was quicker; or this one has not written yet, and now it will not.
    return job.status in ACTIVE or job_updates.refuse_claims(job, fence=ulid(now))


# --- editing ----------------------------------------------------------------------------------------------------------


def before_save(limit: str, number: float | None) -> None:
    """Before a record with a limit is written: from its write on, every claim counts. A cleared limit stays known."""
    if number is not None:
        pools.register(limit)


def after_save(limit: str, *, before: float | None, after: float | None, now: datetime) -> None:
    """After a record was written: let in whom its new number admits; a new limit counts those that are active."""
    if before is None and after is not None:
        _count_active(limit)
    if before is not None and (after is None or after > before):
        release_parked(limit, now=now)


def _count_active(limit: str) -> None:
    """Count the jobs that were active before. One that ends meanwhile leaves a permit for `_reclaim_stale`."""
    kind, _, record_id = limit.partition(":")
    ids = jobs.active_ids(f"{kind}_id", record_id)
    for job in jobs.get_many(ids) if ids else []:
        if job.status in ACTIVE and limit not in (job.holds or ()):
            store.record(limit, store.permit(job.job_id, str(job.fence)))
            job_updates.count_against(job, limit)


def after_delete(limit: str, *, before: float | None, now: datetime) -> None:
    """After a record was deleted: nothing counts its jobs any more."""
    pools.unregister(limit)
    if before is not None:
        release_parked(limit, now=now)
        store.remove(limit)
