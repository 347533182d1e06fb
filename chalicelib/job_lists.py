"""Lists of jobs, and how many wait or run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.lifecycle import OPEN, JobStatus
from chalicelib.errors import Invalid
from chalicelib.paging import TOTAL_LIMIT, Page, check
from chalicelib.settings import settings
from chalicelib.store import job_lists
from chalicelib.store import jobs as store
from chalicelib.store.job_lists import JobFilter
from chalicelib.store.job_record import LEASE_SHARDS, JobRecord

# Slots planned ahead stand in the list too.
AHEAD = timedelta(minutes=5)


def listing(
    *,
    now: datetime,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
    status: Sequence[str] = (),
    sort: str | None = None,
    page: int = 1,
    page_size: int = 20,
    **equal: str | None,
) -> Page:
    """Jobs that match all filters, newest first; `sort` is `created_at` or `-created_at`.

    `equal`: task_id, kind, group, pool, trigger, reason, source_id, operator. The total is exact up to 10,000.
    """
    check(page, page_size)
    if created_from is not None and created_to is not None and created_from > created_to:
        raise Invalid("created_from is after created_to.", field="created_from")
    if sort not in (None, "created_at", "-created_at"):
        raise Invalid("sort must be created_at or -created_at.", field="sort")
    unknown = [each for each in status if each not in frozenset(JobStatus)]
    if unknown:
        raise Invalid(f"{unknown[0]!r} is no status; there are {', '.join(JobStatus)}.", field="status")
    wanted = JobFilter(created_from, created_to, [JobStatus(each) for each in status], **equal)
    rows, total = job_lists.page(
        wanted,
        oldest_first=sort == "created_at",
        page=page,
        page_size=page_size,
        limit=TOTAL_LIMIT,
        since=now - timedelta(days=settings().job_retention_days + 31),
        until=now + AHEAD,
    )
    return Page(rows, page, page_size, min(total, TOTAL_LIMIT), total_is_lower_bound=total > TOTAL_LIMIT)


def counts() -> list[dict[str, Any]]:
    """Exact numbers of waiting, assigned and running jobs, per pool and kind: of those that have a lease."""
    ids = [row.job_id for shard in range(LEASE_SHARDS) for row in JobRecord.leases.query(shard)]
    found = Counter((job.pool, job.kind, job.status) for job in store.get_many(ids) if job.status in OPEN)
    pairs = sorted({(pool, kind) for pool, kind, _ in found})
    return [
        {"pool": pool, "kind": kind, **{status.value: found[pool, kind, status] for status in sorted(OPEN)}}
        for pool, kind in pairs
    ]
