"""What the walks of the integrity check read: ids of jobs a chunk at a time, and the runs of a chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice

from chalicelib.core.ids import timeline_keys
from chalicelib.core.lifecycle import JobStatus
from chalicelib.settings import settings
from chalicelib.store.base import read_many
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord


def ids_of_status(status: JobStatus, *, after: str, count: int, before: str | None = None) -> Iterator[str]:
    """Ids of the first jobs of a status behind `after`, oldest first; `before`: those with smaller ids only."""
    first = JobRecord.job_id > after if after else None
    keys = first if before is None else JobRecord.job_id.between(after + "0" if after else "0", before)
    for row in JobRecord.by_status.query(status, keys, limit=count):
        yield row.job_id


def ids_of_month(month: str, *, before: str, count: int) -> Iterator[str]:
    """Ids of a month's last jobs before this one, newest first."""

    def ids(key: str) -> Iterator[str]:
        for row in JobRecord.timeline.query(key, JobRecord.job_id < before, scan_index_forward=False, limit=count):
            yield row.job_id

    return islice(merge(*map(ids, timeline_keys(month, settings().timeline_shards)), reverse=True), count)


def runs_of(keys: Iterable[tuple[str, int]]) -> list[RunRecord]:
    """The runs that exist among these (job id, number), read consistently, in no order."""
    return read_many(RunRecord, keys)
