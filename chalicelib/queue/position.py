"""Where a waiting job stands in its pool, and when it may be expected to start: what is known, and why nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from chalicelib.core.facets import facet
from chalicelib.core.lifecycle import ACTIVE, JobStatus
from chalicelib.core.queue_keys import keys_to_read, limit_of_key, minute_key
from chalicelib.store import jobs, pools
from chalicelib.store.job_record import JobRecord

# Counting reads the line up to the job: past this the position is "at least".
COUNT_LIMIT = 10_000
# Runs that the mean is of, and how far back in the index of a status they are looked for.
SAMPLE = 20
LOOKED_THROUGH = 200
# How runs end that took the time they took.
RAN = (JobStatus.SUCCEEDED, JobStatus.FAILED)


@dataclass(frozen=True)
class Position:
    """`position` counts from 1; None for a job that stands in no line, with the reason why.

    `estimated_start_at` is `now + mean_run_seconds * jobs ahead / active`, and never before the job's own time; None
    with a reason: paused, limited (by `limited_by`), overlap, no_history.
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
    limited_by = limit_of_key(job.ready_pool)
    due = max(now, job.not_before)
    ahead = None if job.buffered else _ahead(job, due=due, now=now)
    active = _active(job.pool)
    seconds = list(islice(_run_seconds(job.pool), SAMPLE))
    mean = sum(seconds) / len(seconds) if seconds else None
    reason = _unknown(job, paused=paused, mean=mean)
    start = None
    if reason is None and ahead is not None and mean is not None:
        start = max(job.not_before, now + timedelta(seconds=mean * ahead / max(1, active)))
    return Position(
        position=None if ahead is None else ahead + 1,
        position_is_lower_bound=ahead is not None and ahead >= COUNT_LIMIT,
        paused=paused,
        limited_by=limited_by,
        estimated_start_at=start,
        reason=reason,
        active=active,
        mean_run_seconds=None if mean is None else round(mean, 3),
        sample=len(seconds),
    )


def _unknown(job: JobRecord, *, paused: bool, mean: float | None) -> str | None:
    """Why no start can be told."""
    if paused:
        return "paused"
    if job.buffered:
        return "overlap"
    if limit_of_key(job.ready_pool) is not None:
        return "limited"
    return "no_history" if mean is None else None


def _ahead(job: JobRecord, *, due: datetime, now: datetime) -> int:
    """The jobs of the pool with a better rank that wait now, or whose time comes before this one's."""
    lines = keys_to_read(job.pool, due=None, now=now)
    if job.not_before > now:
        lines = list(dict.fromkeys([minute_key(job.pool, job.not_before), *lines]))
    return jobs.count_ahead(lines, int(job.rank), job.job_id, due=due, limit=COUNT_LIMIT)


def _active(pool: str) -> int:
    in_pool = JobRecord.facets.contains(facet("pool", pool))
    return sum(JobRecord.by_status.count(status, filter_condition=in_pool) for status in sorted(ACTIVE))


def _run_seconds(pool: str) -> Iterator[float]:
    """How long the pool's last runs took, from those of the newest jobs."""
    ids: list[str] = []
    for status in RAN:
        newest = JobRecord.by_status.query(status, scan_index_forward=False, page_size=LOOKED_THROUGH)
        looked = islice(newest, LOOKED_THROUGH)
        ids += [row.job_id for row in looked if facet("pool", pool) in (row.facets or ())][:SAMPLE]
    found = jobs.get_many(sorted(ids, reverse=True)[:SAMPLE]) if ids else []
    for job in found:
        if job.started_at is not None and job.ended_at is not None:
            yield max(0.0, (job.ended_at - job.started_at).total_seconds())


def shown(job: JobRecord, *, now: datetime) -> JobRecord:
    """The job with its place beside its columns, as the API shows it."""
    vars(job)["queue"] = position_of(job, now=now)
    return job
