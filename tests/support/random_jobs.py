"""Random jobs for tests of lists: made from a seed, written straight into the table, and listed in plain Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.core.facets import facets_of, folded
from chalicelib.core.ids import month_bucket, timeline_key, ulid
from chalicelib.core.lifecycle import OPEN, JobStatus, Reason, Trigger
from chalicelib.store import task_names
from chalicelib.store.base import client
from chalicelib.store.job_record import JobRecord

NOW = datetime(2026, 3, 2, 9, 0, 0, tzinfo=UTC)
# Four months, so that the timeline has borders inside.
SPAN = timedelta(days=100)
# When every task got another name.
RENAMED = NOW - SPAN / 3
# DynamoDB takes this many in one request.
BATCH = 25

NAMES = (
    "Daily flights", "daily FLIGHTS (archive)", "Straße nach Köln", "STRASSE", "报表导出", "每日报表 Export",
    "航班 daily", "100% _all_", "a=b", "'quoted' \"twice\"", "Ünïcode", "x",
)  # fmt: skip
ENDS: dict[JobStatus, Sequence[Reason | None]] = {
    JobStatus.SUCCEEDED: [None],
    JobStatus.FAILED: [Reason.ERROR, Reason.UNKNOWN_ERROR, Reason.WORKER_LOST],
    JobStatus.TIMED_OUT: [Reason.QUEUE_WAIT, Reason.STATEMENT, Reason.DEADLINE],
    JobStatus.BLOCKED: [Reason.NO_SOURCE, Reason.NO_PROXY],
    JobStatus.CANCELED: [Reason.BY_USER, Reason.BY_POLICY],
    JobStatus.SKIPPED: [Reason.OVERLAP, Reason.EMPTY_WINDOW],
    JobStatus.MISSED: [Reason.MISFIRE],
}
# What a column may be, the common first.
COLUMNS: dict[str, Sequence[str | None]] = {
    "kind": ["report_export", "sql_script", "account_action", "robot_process", "mock_data"],
    "group": ["ops", None, "财务", "ops/night", "a=b"],
    "pool": ["cloud", "lab", "north-1"],
    "trigger": [Trigger.SCHEDULE, Trigger.MANUAL, Trigger.API, Trigger.BACKFILL, Trigger.EVENT, Trigger.RERUN],
    "operator": [None, "olga", "王芳", "olga2"],
    "source_id": ["source-1", None, "source-2", "source-3"],
    "account_id": [None, "account-1", "account-2", "account-3", "account-4"],
    "action": [None, "login", "登录", "check"],
}


@dataclass(frozen=True)
class PlainJob:
    """A job as plain columns."""

    job_id: str
    at: datetime
    task_id: str
    task_name: str
    status: JobStatus
    columns: dict[str, str | None]

    def get(self, name: str) -> str | None:
        return str(getattr(self, name)) if name in ("job_id", "task_id") else self.columns[name]


def random_jobs(
    count: int, *, seed: int = 5, tasks: int = 14, skew: float = 0.5, renamed: bool = True
) -> list[PlainJob]:
    """Jobs over SPAN before NOW. Some instants have several jobs.

    `skew`: how common a value of a column is beside the one before it. `renamed`: each task had another name once.
    """
    draw = random.Random(seed)
    named = {f"task-{n}": (draw.choice(NAMES), draw.choice(NAMES)) for n in range(tasks)}
    made, at = [], NOW
    for number in range(count):
        if draw.random() < 0.9:
            at = NOW - timedelta(milliseconds=draw.randrange(int(SPAN.total_seconds() * 1000)))
        task_id = draw.choice(list(named))
        if draw.random() < 0.03:
            status = draw.choice(sorted(OPEN))
            reason = None
        else:
            status = _skewed(draw, list(ENDS), skew)
            reason = draw.choice(ENDS[status])
        columns = {name: _skewed(draw, values, skew) for name, values in COLUMNS.items()} | {"reason": reason}
        name = named[task_id][at > RENAMED or not renamed]
        made.append(PlainJob(ulid(at, str(number)), at, task_id, name, status, columns))
    return made


def _skewed(draw: random.Random, values: Sequence[Any], skew: float) -> Any:
    return draw.choices(values, weights=[skew**n for n in range(len(values))])[0]


def listed(jobs: Sequence[PlainJob], *, oldest_first: bool = False, **wanted: Any) -> list[str]:
    """The ids that a list with these filters has, in its order."""
    start, end, statuses = wanted.pop("created_from", None), wanted.pop("created_to", None), wanted.pop("status", ())
    search = wanted.pop("search", None)
    found = [
        job.job_id
        for job in jobs
        if (start is None or job.at >= start)
        and (end is None or job.at < end)
        and (not statuses or job.status in statuses)
        and (search is None or search.casefold() in job.task_name.casefold())
        and all(job.get(name) == value for name, value in wanted.items())
    ]
    return sorted(found, reverse=not oldest_first)


def write(jobs: Sequence[PlainJob], *, threads: int = 1, besides: dict[str, Any] | None = None) -> None:
    """Put the jobs into the table, and their tasks' names into the registry. `besides`: what lists do not look at."""
    for task_id, name in sorted({(job.task_id, job.task_name) for job in jobs}):
        task_names.register(task_id, name, revision=1)
    last = {job.task_id: job.task_name for job in sorted(jobs, key=lambda job: job.job_id)}
    for task_id, name in sorted({(job.task_id, job.task_name) for job in jobs} - set(last.items())):
        task_names.release(task_id, name, revision=1, now=RENAMED, expires_at=NOW + SPAN)
    table, items = JobRecord.Meta.table_name, [(besides or {}) | item_of(job) for job in jobs]

    def put(start: int) -> None:
        requests = [{"PutRequest": {"Item": item}} for item in items[start : start + BATCH]]
        answer = client().batch_write_item(RequestItems={table: requests})
        assert not answer.get("UnprocessedItems")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(put, range(0, len(items), BATCH)))


def item_of(job: PlainJob) -> dict[str, Any]:
    """The job as the table keeps it, as far as lists look at it: an older one as versions before shards kept it."""
    facets, is_old = facets_of(job.columns | {"task_id": job.task_id}, job.status), job.at < RENAMED
    if is_old and job.status == JobStatus.SUCCEEDED:
        facets.add("outcome=succeeded")
    month = timeline_key(month_bucket(job.job_id), job.job_id, 1 if is_old else 2)
    texts = {
        "job_id": job.job_id, "month": month, "task_id": job.task_id, "status": job.status,
        "task_name": job.task_name, "search_name": folded(job.task_name), **job.columns,
    }  # fmt: skip
    given: dict[str, Any] = {name: {"S": str(value)} for name, value in texts.items() if value is not None}
    return given | {"facets": {"SS": sorted(facets)}}
