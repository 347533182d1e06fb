"""One job: its record, its attempts, its files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib import retention
from chalicelib.aws import files as objects
from chalicelib.core.instants import parse, rfc3339
from chalicelib.errors import FileNotAvailable
from chalicelib.settings import settings
from chalicelib.store import jobs as store
from chalicelib.store import runs as run_store
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord

DEFAULT_RUNS = 3


def get(job_id: str) -> JobRecord:
    return store.get(job_id)


def runs(job_id: str, *, limit: int | None = DEFAULT_RUNS) -> list[RunRecord]:
    store.get(job_id)
    return list(run_store.newest(job_id, limit))


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
    # The bucket counts an upload of many parts from its first.
    gone_at = retention.expires_at(job.kind, parse(found[0]["started_at"]))
    if gone_at <= now:
        days = retention.days_of(job.kind)
        raise FileNotAvailable(f"The files of job {job_id} expired on {gone_at:%Y-%m-%d}, {days} days after its run.")
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
