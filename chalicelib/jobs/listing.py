"""Pages of jobs, and the ids of all jobs that match a filter."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib import retention
from chalicelib.core.facets import EQUALITIES
from chalicelib.core.lifecycle import JobStatus
from chalicelib.errors import Invalid
from chalicelib.paging import TOTAL_LIMIT, Page, check
from chalicelib.store import job_lists
from chalicelib.store.job_list_plan import JobFilter

# A list shows jobs of slots that `tick` has planned up to this far ahead.
AHEAD = timedelta(minutes=5)
SORTS = ("created_at", "-created_at")
# The filters whose value is a text.
TEXTS = ("job_id", "search", *EQUALITIES)


def listing(wanted: JobFilter, *, now: datetime, sort: str | None = None, page: int = 1, page_size: int = 20) -> Page:
    """Jobs that match the filter, newest first; `sort` is `created_at` or `-created_at`.

    The total is exact up to 10,000. Raises Invalid, naming the field.
    """
    check(page, page_size)
    if sort not in (None, *SORTS):
        raise Invalid(f"sort must be {' or '.join(SORTS)}.", field="sort")
    rows, total = job_lists.page(
        _checked(wanted),
        oldest_first=sort == "created_at",
        page=page,
        page_size=page_size,
        limit=TOTAL_LIMIT,
        since=now - retention.longest_life(),
        until=now + AHEAD,
    )
    return Page(rows, page, page_size, min(total, TOTAL_LIMIT), total_is_lower_bound=total > TOTAL_LIMIT)


def ids(wanted: JobFilter, *, now: datetime, limit: int) -> list[str]:
    """Ids of the first `limit` jobs that match the filter, newest first. Reads no job."""
    return job_lists.ids(_checked(wanted), limit=limit, since=now - retention.longest_life(), until=now + AHEAD)


def _checked(wanted: JobFilter) -> JobFilter:
    """The filter with its statuses as JobStatus. Raises Invalid, naming the field."""
    if wanted.created_from is not None and wanted.created_to is not None and wanted.created_from > wanted.created_to:
        raise Invalid("created_from is after created_to.", field="created_from")
    unknown = [each for each in wanted.status if each not in frozenset(JobStatus)]
    if unknown:
        raise Invalid(f"{unknown[0]!r} is no status; there are {', '.join(JobStatus)}.", field="status")
    for name in TEXTS:
        value = getattr(wanted, name)
        if value is not None and not value.strip():
            raise Invalid(f"{name} is empty; leave it out to see all.", field=name)
    return replace(wanted, status=[JobStatus(each) for each in wanted.status])
