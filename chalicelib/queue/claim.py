"""Claiming: a token says that a pool has work; its worker claims the pool's best job, not a certain one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from chalicelib.aws import sqs
from chalicelib.clock import Clock
from chalicelib.core.ids import shard_of, ulid
from chalicelib.core.lifecycle import JobStatus
from chalicelib.core.queue_keys import LOOK_BACK, MINUTE, keys_to_read, limit_of_key, minute_of_key
from chalicelib.log import event
from chalicelib.queue import admission, concurrency, leases, unclaimable
from chalicelib.queue.past_minutes import PastMinutes
from chalicelib.store import claim_reads, job_transitions, job_updates, jobs, pools, tasks
from chalicelib.store.claim_reads import ClaimReads
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord

# SQS counts delays in whole seconds, so a token may come up to a second before its time: the worker waits that out. It
# sends a token that comes earlier than this, by a clock that runs ahead, again.
EARLY = timedelta(seconds=2)
# Jobs read at once from the head of the queue: few at first, since the first one is claimed nearly always, then more.
FIRST_READ = 5
NEXT_READ = 25
# Claims lost to other workers among the first jobs read, after which this worker leaves the rest of those to them. It
# stays with the next: no job is claimed before more than FIRST_READ + NEXT_READ better ones.
LOST_IN_FIRST_READ = 2
# A worker gives up its search after this time. Jobs that could not be claimed have left the queue by then, so the next
# worker starts behind them.
SEARCH_TIME = timedelta(seconds=20)


@dataclass(frozen=True)
class Worker:
    """Who works, and until when."""

    name: str
    until: datetime
    clock: Clock
    # False in tests that call the watch themselves.
    watched: bool = True
    # Of the process, which outlives the worker.
    past_minutes: PastMinutes = field(default_factory=PastMinutes)


@dataclass
class _Crowd:
    """The other workers that claim from the same queue at this moment, as far as this one notices."""

    # Differs from token to token.
    salt: str
    # Claims that others were quicker with.
    lost: int = 0

    def place(self, count: int) -> int:
        """Which of the next `count` jobs to try. The best, until a claim was lost: then any of them, so that workers
        who read the same jobs try different ones."""
        return shard_of(f"{self.salt}/{self.lost}", count) if self.lost else 0


def claim_next(token: sqs.Token, *, worker: Worker) -> JobRecord | None:
    """Claim the pool's best job that may start now; None when there is none, or the pool is paused.

    The token's own job is read by its key: the index lags and may not show it.
    """
    _sleep_until_due(token, worker=worker)
    read_at, found = worker.clock.now(), _read(token, worker=worker)
    if found.pool.paused:
        event("token spent on a paused pool", pool=token.pool, job_id=token.job_id)
        return None
    own = _own_job(found.job, worker=worker)
    begun = worker.clock.now()
    # `_own_job` may have slept until the slot, and a sleep may end a hair early: no condition sees a time before it.
    now = begun if own is None else max(begun, own.not_before)
    permits = concurrency.Permits(found.pool.limited)
    crowd = _Crowd(token.job_id)
    claimed = None
    for job in _candidates(token, own, crowd, past_minutes=worker.past_minutes, now=now):
        # What was read before the job's time came may have been edited since.
        is_known = job is own and found.task is not None and read_at >= job.not_before
        find_task = (lambda _: found.task) if is_known else tasks.find
        if _admitted_and_claimed(job, permits, crowd, find_task, worker=worker, now=now):
            claimed = job
            break
        if worker.clock.now() - begun > SEARCH_TIME:
            event("no job could be claimed in time", level="WARN", pool=token.pool, job_id=token.job_id)
            sqs.send([(token, now)], now=now)
            break
    if own is not None and claimed is not own:
        _leave_to_others(own, now=now)
    permits.release_parked_of_full(now=now)
    return claimed


# --- the token's own job ----------------------------------------------------------------------------------------------


def _sleep_until_due(token: sqs.Token, *, worker: Worker) -> None:
    """SQS hands out a token up to a second early: what is read from here on is read at the job's time."""
    early = timedelta(0) if token.due is None else token.due - worker.clock.now()
    if timedelta(0) < early <= EARLY:
        worker.clock.sleep(early.total_seconds())


def _read(token: sqs.Token, *, worker: Worker) -> ClaimReads:
    try:
        return claim_reads.read(token.pool, token.job_id, token.task_id)
    except jobs.UNREADABLE:
        own = unclaimable.read(token.job_id, now=worker.clock.now())
        return ClaimReads(pools.state(token.pool), own, None)


def _own_job(job: JobRecord | None, *, worker: Worker) -> JobRecord | None:
    """The token's job, if it waits; None for a parked one, which others go before. Sleeps until its time."""
    if job is None or job.status != JobStatus.WAITING or _parked(job):
        return None
    early = job.not_before - worker.clock.now()
    if early > EARLY:
        leases.send_token(job, now=worker.clock.now())
        return None
    if early > timedelta(0):
        worker.clock.sleep(early.total_seconds())
    return job


def _leave_to_others(own: JobRecord, *, now: datetime) -> None:
    """The token is spent, and its job, unless it has ended by now, waits on: have the token of another job find it.

    The overlap policy is applied here all the same: it counts whether an earlier job had ended at the slot, and not
    when a worker comes to this one.
    """
    if own.status != JobStatus.WAITING or _parked(own):
        return
    try:
        admitted = own.admitted or admission.admit(own, now=now) is admission.Admission.ADMITTED
        if admitted and not _found_by_others(own, now=now):
            # From the pool's own queue.
            job_updates.make_ready(own)
    except Exception as error:
        unclaimable.note_failure(own.job_id, error, now=now)


def _found_by_others(job: JobRecord, *, now: datetime) -> bool:
    """Whether a waiting job stands in a queue that the tokens of other jobs read, and will for a minute to come."""
    if job.ready_pool == job.pool:
        return True
    minute = minute_of_key(job.ready_pool or "")
    return minute is not None and now < minute + LOOK_BACK - MINUTE


@dataclass
class _OwnTurn:
    """Merges the token's own job into the others, ahead of those of its rank.

    Many jobs of one priority come due in the same second: each token then serves its own job, and the worker reads and
    writes no other.
    """

    job: JobRecord | None

    def before(self, rank: float) -> list[JobRecord]:
        """The own job, once, if its turn comes before a job of this rank."""
        if self.job is None or int(self.job.rank) > rank:
            return []
        job, self.job = self.job, None
        return [job]


# --- candidates by rank -----------------------------------------------------------------------------------------------


def _candidates(
    token: sqs.Token, own: JobRecord | None, crowd: _Crowd, *, past_minutes: PastMinutes, now: datetime
) -> Iterator[JobRecord]:
    """The pool's jobs whose time has come, `own` among them, best rank first, each as it is in the table.

    Where `crowd` was quicker the order is only roughly that, and what is passed over comes at the end.
    """
    queue_keys = keys_to_read(token.pool, due=None if own is None else own.not_before, now=now)
    own_turn, passed_over = _OwnTurn(own), list[tuple[int, str]]()
    rows = jobs.ready_entries(
        past_minutes.left_to_read(queue_keys), now=now, none_in=lambda key: past_minutes.found_none(key, now=now)
    )
    for chunk in _chunks(entry for entry in rows if entry[1] != token.job_id):
        best_rank, _ = chunk[0]
        # Asked before the chunk's jobs are read: when the own job is claimed, they need not be.
        yield from own_turn.before(best_rank)
        ready = _still_ready(chunk, queue_keys, now=now)
        while ready and (len(chunk) > FIRST_READ or crowd.lost < LOST_IN_FIRST_READ):
            yield from own_turn.before(int(ready[0].rank))
            yield ready.pop(crowd.place(len(ready)))
        passed_over += [(int(job.rank), job.job_id) for job in ready]
    yield from own_turn.before(math.inf)
    for chunk in _chunks(iter(passed_over)):
        yield from _still_ready(chunk, queue_keys, now=now)


def _chunks(entries: Iterator[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """The entries (rank, job id) in the numbers in which their jobs are read."""
    size = FIRST_READ
    while chunk := list(islice(entries, size)):
        yield chunk
        size = NEXT_READ


def _still_ready(entries: Sequence[tuple[int, str]], queue_keys: Sequence[str], *, now: datetime) -> list[JobRecord]:
    """The entries' jobs that the table, too, shows in one of these queues, by the rank that it shows."""
    found = unclaimable.readable([job_id for _, job_id in entries], now=now)
    ready = [job for job in found if job.status == JobStatus.WAITING and job.ready_pool in queue_keys]
    return sorted(ready, key=lambda job: (int(job.rank), job.job_id))


# --- one candidate: admission, permits, the conditional write ---------------------------------------------------------


def _admitted_and_claimed(
    job: JobRecord,
    permits: concurrency.Permits,
    crowd: _Crowd,
    find_task: Callable[[str], TaskRecord | None],
    *,
    worker: Worker,
    now: datetime,
) -> bool:
    """Whether the worker has the job. A failure for the job's own sake is counted, and the search goes on behind it."""
    try:
        admitted = admission.admit(job, now=now, find_task=find_task) is admission.Admission.ADMITTED
        return admitted and _claim(job, permits, crowd, worker=worker, now=now)
    except Exception as error:
        unclaimable.note_failure(job.job_id, error, now=now)
        return False


def _parked(job: JobRecord) -> bool:
    return limit_of_key(job.ready_pool) is not None


def _claim(job: JobRecord, permits: concurrency.Permits, crowd: _Crowd, *, worker: Worker, now: datetime) -> bool:
    """Acquire the job's permits and start it as this worker's; False when either is refused."""
    fence = ulid(now)
    holds = permits.acquire(job, fence, now=now)
    if holds is None:
        return False
    # The search may have taken a while; the job's own time has come even where the clock lags.
    at = max(now, worker.clock.now())
    lease_until = leases.worker_lease(worker.until, now=at)
    if not job_transitions.claim(job, worker=worker.name, fence=fence, lease_until=lease_until, now=at, holds=holds):
        crowd.lost += 1
        concurrency.release(job, fence, holds, now=now)
        return False
    return True
