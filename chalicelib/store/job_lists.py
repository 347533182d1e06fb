"""Pages of jobs: the most selective index for the given filters, the rest as a filter expression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.indexes import GlobalSecondaryIndex

from chalicelib.core.facets import facet
from chalicelib.core.ids import ulid
from chalicelib.core.lifecycle import JobStatus
from chalicelib.store import jobs
from chalicelib.store.job_record import JobRecord


@dataclass(frozen=True)
class JobFilter:
    """What a list asks for; None asks for all. Instants bound the id's time: the slot, or the acceptance."""

    created_from: datetime | None = None
    created_to: datetime | None = None
    status: Sequence[JobStatus] = ()
    task_id: str | None = None
    kind: str | None = None
    group: str | None = None
    pool: str | None = None
    trigger: str | None = None
    reason: str | None = None
    source_id: str | None = None
    operator: str | None = None


def page(
    wanted: JobFilter, *, oldest_first: bool, page: int, page_size: int, limit: int, since: datetime, until: datetime
) -> tuple[list[JobRecord], int]:
    """The page's rows (the list's columns only) and the number of matches, counted up to `limit` + 1.

    `since` and `until` bound the months that are looked at where the filter leaves them open.
    """
    start = (page - 1) * page_size
    rows: list[JobRecord] = []
    total = 0
    for index, key, keys in _partitions(wanted, oldest_first=oldest_first, since=since, until=until):
        if total > limit:
            break
        counted = index.count(key, keys, filter_condition=_conditions(wanted), limit=limit + 1 - total)
        skip, room = max(0, start - total), page_size - len(rows)
        if room > 0 and counted > skip:
            found = index.query(key, keys, filter_condition=_conditions(wanted), scan_index_forward=oldest_first)
            ids = [row.job_id for row in islice(found, skip, skip + room)]
            read = {row.job_id: row for row in jobs.get_many(ids)} if ids else {}
            rows += [read[job_id] for job_id in ids if job_id in read]
        total += counted
    return rows, min(total, limit + 1)


_Partition = tuple[GlobalSecondaryIndex[Any], str, Condition | None]


def _partitions(wanted: JobFilter, *, oldest_first: bool, since: datetime, until: datetime) -> Iterator[_Partition]:
    """The index partitions that hold the matches, in the list's order."""
    keys = _id_range(wanted)
    if wanted.task_id is not None:
        yield JobRecord.by_task, wanted.task_id, keys
        return
    first, last = wanted.created_from or since, wanted.created_to or until
    months = list(_months(first, last))
    for month in months if oldest_first else reversed(months):
        yield JobRecord.timeline, month, keys


def _months(first: datetime, last: datetime) -> Iterator[str]:
    at = first.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while at <= last:
        yield at.strftime("%Y-%m")
        at = (at + timedelta(days=32)).replace(day=1)


def _id_range(wanted: JobFilter) -> Condition | None:
    """ULIDs sort by time: an instant bounds them by its first ten letters."""
    column = JobRecord.job_id
    low = None if wanted.created_from is None else ulid(wanted.created_from, "")[:10]
    high = None if wanted.created_to is None else ulid(wanted.created_to, "")[:10]
    if low is not None and high is not None:
        return column.between(low, high)
    if low is not None:
        return column >= low
    return None if high is None else column < high


def _conditions(wanted: JobFilter) -> Condition | None:
    condition: Condition | None = None
    if wanted.status:
        condition = JobRecord.status.is_in(*wanted.status)
    for name in ("kind", "group", "pool", "trigger", "reason", "source_id", "operator"):
        value = getattr(wanted, name)
        if value is not None:
            equal = JobRecord.facets.contains(facet(name, value))
            condition = equal if condition is None else condition & equal
    return condition
