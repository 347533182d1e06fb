"""Jobs: the record people read, and what they may do to one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from chalicelib import audit, line, settle
from chalicelib.actor import Actor
from chalicelib.aws import files as objects
from chalicelib.aws.files import s3
from chalicelib.core.instants import parse, rfc3339
from chalicelib.core.lifecycle import ACTIVE, ENDED, OPEN, JobStatus, Reason
from chalicelib.errors import FileNotAvailable, Invalid, RunNotFound, WrongState
from chalicelib.exports.keys import discard
from chalicelib.paging import TOTAL_LIMIT, Page, check
from chalicelib.settings import settings
from chalicelib.store import job_lists, moves
from chalicelib.store import jobs as store
from chalicelib.store import logs as log_store
from chalicelib.store import runs as run_store
from chalicelib.store.job_lists import JobFilter
from chalicelib.store.job_record import LEASE_SHARDS, JobRecord
from chalicelib.store.runs import RunRecord

DEFAULT_RUNS = 3
LOG_PAGE = 200
LOG_PAGE_LIMIT = 1_000
# Slots planned ahead stand in the list too.
AHEAD = timedelta(minutes=5)
# A cancel or a priority may lose a race against the worker; after so many it is told as it is.
TRIES = 5


def get(job_id: str) -> JobRecord:
    return store.get(job_id)


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


# --- one job's parts --------------------------------------------------------------------------------------------------


def runs(job_id: str, *, limit: int | None = DEFAULT_RUNS) -> list[RunRecord]:
    store.get(job_id)
    return list(run_store.newest(job_id, limit))


def logs(
    job_id: str,
    *,
    run: int | None = None,
    level: str = "all",
    search: str | None = None,
    cursor: str | None = None,
    limit: int = LOG_PAGE,
) -> tuple[list[dict[str, Any]], str | None]:
    """Lines of one run (the last, unless named) after the cursor, and the cursor to go on or to follow with.

    `level`: all, alert (WARN and ERROR), or one level. The cursor is never None while the job is open: lines may come.
    """
    job = store.get(job_id)
    number = int(job.run_no) if run is None else run
    if number > job.run_no or number < 0:
        raise RunNotFound(f"Job {job_id} has no run {number}.")
    if level not in ("all", "alert", "DEBUG", "INFO", "WARN", "ERROR"):
        raise Invalid("level must be all, alert, DEBUG, INFO, WARN or ERROR.", field="level")
    if not 1 <= limit <= LOG_PAGE_LIMIT:
        raise Invalid(f"limit must be 1 to {LOG_PAGE_LIMIT}.", field="limit")
    if cursor is not None and not cursor.isdigit():
        raise Invalid("cursor must be one that an answer gave.", field="cursor")
    last = int(cursor or 0)
    lines: list[dict[str, Any]] = []
    more = False
    for found in log_store.read(job_id, number, alerts=level in ("alert", "WARN", "ERROR"), after=last):
        if len(lines) == limit:
            more = True
            break
        last = found.sequence
        if level in ("all", "alert", found.level) and (search is None or search.casefold() in found.message.casefold()):
            lines.append({**asdict(found), "run_no": number})
    return lines, str(last) if more or job.status in OPEN else None


def files(job_id: str) -> list[dict[str, Any]]:
    """The manifests of the job's files; empty until the job has succeeded."""
    return list(store.get(job_id).files or [])


def download(job_id: str, *, now: datetime, n: int | None = None) -> list[dict[str, Any]]:
    """A link for each file, or for the n-th from 0. Links live for minutes and are never to be logged."""
    job = store.get(job_id)
    found: list[Mapping[str, Any]] = list(job.files or [])
    if not found:
        raise FileNotAvailable(f"Job {job_id} is {job.status} and has no file.")
    if n is not None and not 0 <= n < len(found):
        raise FileNotAvailable(f"Job {job_id} has {len(found)} files, counted from 0.")
    if parse(found[0]["finished_at"]) + timedelta(days=settings().file_retention_days) <= now:
        raise FileNotAvailable(
            f"The files of job {job_id} expired {settings().file_retention_days} days after they were made."
        )
    seconds = settings().link_seconds
    return [
        {
            "name": each["file_name"],
            "url": objects.link(each["key"], file_name=each["file_name"], seconds=seconds),
            "expires_at": rfc3339(now + timedelta(seconds=seconds)),
            "sha256": each["sha256"],
            "bytes": each["bytes"],
            "rows": each["rows"],
        }
        for each in (found if n is None else [found[n]])
    ]


# --- acting on one ----------------------------------------------------------------------------------------------------


def cancel(job_id: str, *, actor: Actor, now: datetime) -> JobRecord:
    """End a waiting job at once; ask an active one's worker to stop. Asking twice is no error; an ended job is one."""
    for _ in range(TRIES):
        job = store.get(job_id)
        if job.status in ENDED:
            raise WrongState(f"Job {job_id} has ended: it is {job.status}.")
        message = f"Cancelled by {actor.name} while waiting."
        if job.status in ACTIVE:
            done = moves.request_cancel(job, by=actor.name, now=now)
        else:
            done = settle.drop(job, JobStatus.CANCELED, Reason.BY_USER, message, now=now, by=actor.name)
        if done:
            audit.record(actor, "cancel", "job", job_id, before=None, after={"status": job.status}, now=now)
            return job
    raise WrongState(f"Job {job_id} changes too fast; try again.")


def rerun(job_id: str, *, actor: Actor, now: datetime) -> JobRecord:
    """Put an ended job into the line again, with the same window and parameters."""
    job = store.get(job_id)
    before = job.status
    if before not in ENDED or not moves.rerun(job, now=now, lease_until=line.promise(now, now=now)):
        raise WrongState(f"Job {job_id} is {store.get(job_id).status}; only an ended job can be run again.")
    line.send_token(job, now=now)
    audit.record(actor, "rerun", "job", job_id, before={"status": before}, after={"status": job.status}, now=now)
    return job


def set_priority(job_id: str, priority: int, *, actor: Actor, now: datetime) -> JobRecord:
    """Effective at the next claim."""
    for _ in range(TRIES):
        job = store.get(job_id)
        before = int(job.priority)
        if job.status in ENDED:
            raise WrongState(f"Job {job_id} has ended: it is {job.status}.")
        if moves.set_priority(job, priority):
            change = {"before": {"priority": before}, "after": {"priority": priority}}
            audit.record(actor, "set_priority", "job", job_id, **change, now=now)
            return job
    raise WrongState(f"Job {job_id} changes too fast; try again.")


def delete(job_id: str, *, actor: Actor, now: datetime) -> None:
    """Remove an ended job's record, its runs and its files."""
    job = store.get(job_id)
    if job.status not in ENDED:
        raise WrongState(f"Job {job_id} is {job.status}; only an ended job can be deleted.")
    for run in run_store.newest(job_id, None):
        discard(s3(), settings().bucket, job_id, int(run.run_no))
        run.delete()
    if not moves.delete(job):
        raise WrongState(f"Job {job_id} is being run again.")
    audit.record(actor, "delete", "job", job_id, before=audit.snapshot(job), after=None, now=now)
