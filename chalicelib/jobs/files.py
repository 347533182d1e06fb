"""The files of a job: their manifests, and links to download them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib import retention
from chalicelib.core.instants import parse, rfc3339
from chalicelib.errors import FileNotAvailable, Invalid
from chalicelib.settings import settings
from chalicelib.storage import manifests as stored
from chalicelib.storage.links import presigned_link
from chalicelib.store import jobs as store
from chalicelib.store.job_record import JobRecord

# Lambda answers with 6 MB at most.
ANSWER_BYTES = 4_000_000
# Files named where one of several is to be chosen.
NAMED = 10


def manifests(job_id: str) -> list[dict[str, Any]]:
    """The manifests of the job's files; empty until a run has succeeded. Raises JobNotFound, or FileNotAvailable when
    they have expired.

    Where they are more than an answer holds, the columns are left out.
    """
    found = stored.read(store.get(job_id).files)
    return found if len(json.dumps(found)) <= ANSWER_BYTES else [without_columns(each) for each in found]


def manifests_on_record(job: JobRecord) -> list[dict[str, Any]]:
    """The manifests as the whole record of a job shows them: long ones without the columns, none once they expired."""
    try:
        found = stored.read(job.files)
    except FileNotAvailable:
        return []
    return [without_columns(each) for each in found] if isinstance(job.files, Mapping) else found


def without_columns(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {**manifest, "columns": []}


def link(job_id: str, *, now: datetime, n: int | None) -> dict[str, Any]:
    """One of `links`: file `n`, or the only one. Raises Invalid, with the choice, when there are several and no `n`."""
    found = links(job_id, now=now, n=n)
    if len(found) > 1:
        choice = ", ".join(f"{number}: {each['name']}" for number, each in enumerate(found[:NAMED]))
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        raise Invalid(f"The job has {len(found)} files; say which: {choice}{more}.", field="n")
    return found[0]


def links(job_id: str, *, now: datetime, n: int | None = None) -> list[dict[str, Any]]:
    """`{name, url, expires_at, sha256, bytes, rows}` of each file, or of file `n`, counted from 0.

    A link lives for minutes; never log it. Raises JobNotFound, or FileNotAvailable when there is no such file or the
    files have expired.
    """
    job = store.get(job_id)
    if not job.files:
        raise FileNotAvailable(f"Job {job_id} is {job.status} and has no file.")
    # The bucket's lifecycle counts the age of a multipart upload from its start.
    gone_at = retention.expires_at(job.kind, parse(stored.begun_at(job.files)))
    if gone_at <= now:
        days = retention.days_of(job.kind)
        raise FileNotAvailable(f"The files of job {job_id} expired on {gone_at:%Y-%m-%d}, {days} days after its run.")
    found = stored.read(job.files)
    if n is not None and not 0 <= n < len(found):
        raise FileNotAvailable(f"Job {job_id} has {len(found)} files, counted from 0.")
    seconds = settings().link_seconds
    return [
        {
            "name": each["file_name"],
            "url": presigned_link(each["key"], file_name=each["file_name"], seconds=seconds),
            "expires_at": rfc3339(now + timedelta(seconds=seconds)),
            "sha256": each["sha256"],
            "bytes": each["bytes"],
            "rows": each["rows"],
        }
        for each in (found if n is None else [found[n]])
    ]
