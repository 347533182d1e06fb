"""Claiming: a token says that there is work in a pool; whoever has it claims the pool's best job, not a certain one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from chalicelib.aws import sqs
from chalicelib.clock import Clock
from chalicelib.core.ids import ulid
from chalicelib.core.lifecycle import JobStatus, RunStatus
from chalicelib.core.queue_keys import keys_to_read, limit_of_key
from chalicelib.log import event
from chalicelib.queue import admission, concurrency, leases
from chalicelib.store import job_transitions, job_updates, jobs, pools, runs
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord

# A token may come up to a second before its time (see queue.send): that is waited out. One that comes earlier than
# this, by a clock that runs ahead, is sent again.
EARLY = timedelta(seconds=2)
# Jobs read at once from the head of a line: a few, since the first is the one nearly always, then more.
FIRST_READ = 5
NEXT_READ = 25
# So long a worker looks for a job that can be claimed. Each that cannot leaves the line, so the next one starts behind.
SEARCH_TIME = timedelta(seconds=20)
# Lease beyond the worker's own end: its clock and ours may differ.
LEASE_MARGIN = timedelta(seconds=30)


@dataclass(frozen=True)
class Worker:
    """Who works, and until when it may."""

    name: str
    until: datetime
    clock: Clock
    # Tests step the watch themselves.
    watched: bool = True


def claim_next(token: sqs.Token, *, worker: Worker) -> JobRecord | None:
    """Claim the pool's best job that may start now; None when there is none, or the pool is paused.

    The token's own job is claimed by its key where the index, which lags, does not show it.
    """
    pool = pools.state(token.pool)
    if pool.paused:
        event("token spent on a paused pool", pool=token.pool, job_id=token.job_id)
        return None
    own = _job_of_token(token, worker=worker)
    begun = worker.clock.now()
    # A sleep may end a hair early by the clock that conditions are judged by: never before the slot.
    now = begun if own is None else max(begun, own.not_before)
    permits = concurrency.Permits(pool.limited)
    claimed = None
    for job in _best_first(token, own, now=now):
        if job is not own and admission.admit(job, now=now) is not admission.Admission.ADMITTED:
            continue
        if _claim(job, permits, worker=worker, now=now):
            claimed = job
            break
        if worker.clock.now() - begun > SEARCH_TIME:
            event("no job could be claimed in time", level="WARN", pool=token.pool, job_id=token.job_id)
            sqs.send([(token, now)], now=now)
            break
    if own is not None and claimed is not own and limit_of_key(own.ready_pool) is None:
        # This token is spent; that of another job will find ours in the line.
        job_updates.make_ready(own)
    permits.release_parked_of_full(now=now)
    return claimed


def _job_of_token(token: sqs.Token, *, worker: Worker) -> JobRecord | None:
    """The token's job, if it may be claimed now. One that is parked is behind others that are."""
    job = jobs.find(token.job_id)
    if job is None or job.status != JobStatus.WAITING or limit_of_key(job.ready_pool) is not None:
        return None
    early = job.not_before - worker.clock.now()
    if early > EARLY:
        leases.send_token(job, now=worker.clock.now())
        return None
    if early > timedelta(0):
        worker.clock.sleep(early.total_seconds())
    now = max(worker.clock.now(), job.not_before)
    return job if admission.admit(job, now=now) is admission.Admission.ADMITTED else None


def _best_first(token: sqs.Token, own: JobRecord | None, *, now: datetime) -> Iterator[JobRecord]:
    """The pool's jobs whose time has come, best rank first, each as it is in the table.

    `own` is among them, ahead of others of its rank: many jobs of one priority come due in the same second, and each
    token then serves its own job without a read or a write of another.
    """
    lines = keys_to_read(token.pool, due=None if own is None else own.not_before, now=now)
    entries = (entry for entry in jobs.ready_entries(lines, now=now) if entry[1] != token.job_id)
    count = FIRST_READ
    while chunk := list(islice(entries, count)):
        if own is not None and int(own.rank) <= chunk[0][0]:
            yield own
            own = None
        # The index may show where a job stood before.
        found = jobs.get_many(job_id for _, job_id in chunk)
        there = [job for job in found if job.status == JobStatus.WAITING and job.ready_pool in lines]
        for job in sorted(there, key=lambda each: (int(each.rank), each.job_id)):
            if own is not None and int(own.rank) <= int(job.rank):
                yield own
                own = None
            yield job
        count = NEXT_READ
    if own is not None:
        yield own


def _claim(job: JobRecord, permits: concurrency.Permits, *, worker: Worker, now: datetime) -> bool:
    fence = ulid(now)
    holds = permits.acquire(job, fence, now=now)
    if holds is None:
        return False
    lease_until = worker.until + LEASE_MARGIN
    if not job_transitions.claim(job, worker=worker.name, fence=fence, lease_until=lease_until, now=now, holds=holds):
        concurrency.release(job, fence, holds, now=now)
        return False
    created = RunRecord(
        job.job_id, int(job.run_no), status=RunStatus.CREATED, fence=fence, worker=worker.name, created_at=now
    )
    runs.create(created)
    return True
