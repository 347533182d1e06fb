"""The position of a waiting job in its pool's queue and an estimate of its start, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.core.lifecycle import JobStatus
from chalicelib.core.queue_keys import keys_to_read, limit_of_key, minute_key
from chalicelib.store import jobs, pools
from chalicelib.store.job_record import JobRecord

# Counting reads the queue up to the job: past this the position is "at least".
COUNT_LIMIT = 10_000
# The mean is that of so many runs, found among so many of the newest jobs of each status in RAN.
SAMPLE = 20
SEARCHED = 200
# Jobs that ended so ran as long as their work took.
RAN = (JobStatus.SUCCEEDED, JobStatus.FAILED)


@dataclass(frozen=True)
class Position:
    """`position` counts from 1; None for a job that the overlap policy buffers, since it stands in no queue.

    `estimated_start_at` is `now + mean_run_seconds * jobs ahead / active`, and never before the job's own time. Where
    it is None, `reason` is one of paused, overlap, limited (by `limited_by`), no_history.
    """

    position: int | None
    position_is_lower_bound: bool
    paused: bool
    limited_by: str | None
    estimated_start_at: datetime | None
    reason: str | None
    active: int
    mean_run_seconds: float | None
    sample: int


def position_of(job: JobRecord, *, now: datetime) -> Position | None:
    """None for a job that does not wait."""
    if job.status != JobStatus.WAITING:
        return None
    paused = pools.state(job.pool).paused
    ahead = None if job.buffered else _count_ahead(job, now=now)
    active = jobs.count_active(job.pool)
    seconds = _recent_run_seconds(job.pool)
    mean = sum(seconds) / len(seconds) if seconds else None
    reason = _why_no_estimate(job, paused=paused, mean=mean)
    start = None
    if reason is None and ahead is not None and mean is not None:
        start = max(job.not_before, now + timedelta(seconds=mean * ahead / max(1, active)))
    return Position(
        position=None if ahead is None else ahead + 1,
        position_is_lower_bound=ahead is not None and ahead >= COUNT_LIMIT,
        paused=paused,
        limited_by=limit_of_key(job.ready_pool),
        estimated_start_at=start,
        reason=reason,
        active=active,
        mean_run_seconds=None if mean is None else round(mean, 3),
        sample=len(seconds),
    )


def _why_no_estimate(job: JobRecord, *, paused: bool, mean: float | None) -> str | None:
    if paused:
        return "paused"
    if job.buffered:
        return "overlap"
    if limit_of_key(job.ready_pool) is not None:
        return "limited"
    return "no_history" if mean is None else None


def _count_ahead(job: JobRecord, *, now: datetime) -> int:
    """The jobs of the pool with a better rank that wait now, or whose time comes before this one's."""
    keys = keys_to_read(job.pool, due=None, now=now)
    if job.not_before > now:
        keys = list(dict.fromkeys([minute_key(job.pool, job.not_before), *keys]))
    due = max(now, job.not_before)
    return jobs.count_ahead(keys, int(job.rank), job.job_id, due=due, limit=COUNT_LIMIT)


def _recent_run_seconds(pool: str) -> list[float]:
    """How long the last runs of the pool's newest jobs took."""
    newest = [job_id for status in RAN for job_id in jobs.newest_ids_in_pool(pool, status, among=SEARCHED)[:SAMPLE]]
    sampled, _ = jobs.get_readable(sorted(newest, reverse=True)[:SAMPLE])
    return [
        max(0.0, (job.ended_at - job.started_at).total_seconds())
        for job in sampled
        if job.started_at is not None and job.ended_at is not None
    ]
