"""One job: its record, its attempts, its files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib import retention
from chalicelib.core.instants import parse, rfc3339
from chalicelib.core.lifecycle import RunStatus
from chalicelib.errors import FileNotAvailable, RunNotFound
from chalicelib.kinds.registry import KINDS, kind_of
from chalicelib.queue import leases
from chalicelib.settings import settings
from chalicelib.storage import links as objects
from chalicelib.store import jobs as store
from chalicelib.store import runs as run_store
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord

DEFAULT_RUNS = 3
# As many as a job may have attempts: those before a re-run may be more, and are read with `runs`.
RUNS_LOOKED_AT = 32


def get(job_id: str) -> JobRecord:
    return store.get(job_id)


def columns_of(job: JobRecord) -> dict[str, Any]:
    """The job's columns by name, for an answer that adds to them."""
    return {name: getattr(job, name) for name in type(job).get_attributes()}


def detail(job: JobRecord, *, run_no: int | None = None) -> dict[str, Any]:
    """All there is to ask of one job, its columns and:

    - `deadline_at`, `queue_wait_ends_at`: when its clocks run out or ran out, as far as they have begun;
    - `runs`: the newest three, of `run_count`;
    - `failures`: the newest runs that did not succeed, newest first;
    - `definition`: what run `run_no` ran, or the newest that began; before there is one, what would run now.
    """
    job_id = job.job_id
    if run_no is not None and not 1 <= run_no <= job.run_no:
        raise RunNotFound(f"Job {job_id} has no run {run_no}.")
    newest = list(run_store.newest(job_id, RUNS_LOOKED_AT))
    asked = newest if run_no is None else [each for each in [run_store.find(job_id, run_no)] if each is not None]
    return {
        **columns_of(job),
        "deadline_at": leases.deadline(job),
        "queue_wait_ends_at": leases.queue_wait_end(job),
        "run_count": job.run_no,
        "runs": newest[:DEFAULT_RUNS],
        "failures": [_failure(run) for run in newest if run.status in (RunStatus.FAILED, RunStatus.CANCELED)],
        "definition": _definition(job, asked),
    }


def _failure(run: RunRecord) -> dict[str, Any]:
    return {"run_no": run.run_no, "at": run.ended_at, "status": run.status, "reason": run.reason, "error": run.error}


def _definition(job: JobRecord, asked: list[RunRecord]) -> dict[str, Any]:
    for run in asked:
        if run.definition is not None:
            return {"frozen": True, "run_no": run.run_no, "document": run.definition}
    # A kind may have been taken out since.
    current = kind_of(job.kind).definition(job.spec) if job.kind in KINDS else {}
    return {"frozen": False, "run_no": None, "document": current}


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
