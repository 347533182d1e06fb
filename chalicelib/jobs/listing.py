"""Lists of jobs, and how many wait or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from chalicelib import retention
from chalicelib.core.lifecycle import JobStatus
from chalicelib.errors import Invalid
from chalicelib.paging import TOTAL_LIMIT, Page, check
from chalicelib.store import job_lists
from chalicelib.store.job_list_plan import JobFilter

# Slots planned ahead stand in the list too.
AHEAD = timedelta(minutes=5)
SORTS = ("created_at", "-created_at")


def listing(
    *,
    now: datetime,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
    status: Sequence[str] = (),
    sort: str | None = None,
    page: int = 1,
    page_size: int = 20,
    **given: str | None,
) -> Page:
    """Jobs that match all filters, newest first; `sort` is `created_at` or `-created_at`.

    `given`: the other filters of JobFilter. The total is exact up to 10,000. Raises Invalid, naming the field.
    """
    check(page, page_size)
    if sort not in (None, *SORTS):
        raise Invalid(f"sort must be {' or '.join(SORTS)}.", field="sort")
    rows, total = job_lists.page(
        _wanted(created_from, created_to, status, given),
        oldest_first=sort == "created_at",
        page=page,
        page_size=page_size,
        limit=TOTAL_LIMIT,
        since=now - retention.longest_life(),
        until=now + AHEAD,
    )
    return Page(rows, page, page_size, min(total, TOTAL_LIMIT), total_is_lower_bound=total > TOTAL_LIMIT)


def ids(
    *,
    now: datetime,
    limit: int,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
    status: Sequence[str] = (),
    **given: str | None,
) -> list[str]:
    """Ids of the first `limit` jobs of the list with these filters, newest first; no job is read for them."""
    wanted = _wanted(created_from, created_to, status, given)
    return job_lists.ids(wanted, limit=limit, since=now - retention.longest_life(), until=now + AHEAD)


def _wanted(
    created_from: datetime | None, created_to: datetime | None, status: Sequence[str], given: Mapping[str, str | None]
) -> JobFilter:
    if created_from is not None and created_to is not None and created_from > created_to:
        raise Invalid("created_from is after created_to.", field="created_from")
    unknown = [each for each in status if each not in frozenset(JobStatus)]
    if unknown:
        raise Invalid(f"{unknown[0]!r} is no status; there are {', '.join(JobStatus)}.", field="status")
    for name, value in given.items():
        if value is not None and not value.strip():
            raise Invalid(f"{name} is empty; leave it out to see all.", field=name)
    return JobFilter(created_from, created_to, [JobStatus(each) for each in status], **given)
