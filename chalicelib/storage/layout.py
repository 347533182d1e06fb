"""Where a run's objects lie, and how all of them are removed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

from chalicelib import retention
from chalicelib.storage.upload import storage_errors

# S3 takes keys of 1,024 bytes; a name of 255 bytes, each percent-encoded, and what stands before it stay below.
MANIFEST = "manifest.json"
# Where a job's objects lie, each run's below its own number.
AREAS: tuple[retention.Area, ...] = ("files", "logs")


def prefix(kind: str, job_id: str, run_no: int) -> str:
    return f"{retention.prefix('files', kind)}/{job_id}/{run_no}/"


def file_key(kind: str, job_id: str, run_no: int, number: int, file_name: str) -> str:
    """`number` tells files apart whose names are the same but for letters that S3 or a download cannot keep."""
    return f"{prefix(kind, job_id, run_no)}{number}/{quote(file_name, safe='')}"


def manifest_key(kind: str, job_id: str, run_no: int) -> str:
    return prefix(kind, job_id, run_no) + MANIFEST


def discard_all(client: Any, bucket: str, kind: str, job_id: str) -> int:
    """What `discard` does, for all runs of a job whose files nobody is shown any more, and their logs with them."""
    files, logs = (f"{retention.prefix(area, kind)}/{job_id}/" for area in AREAS)
    with storage_errors(files):
        removed = _abort(client, bucket, files) + _empty(client, bucket, files)
    with storage_errors(logs):
        return removed + _empty(client, bucket, logs)


def discard(client: Any, bucket: str, kind: str, job_id: str, run_no: int) -> int:
    """Abort every upload and delete every object of a run; how many there were. Repeating it changes nothing.

    The manifest goes first: what has none was never whole.
    """
    with storage_errors(prefix(kind, job_id, run_no)):
        client.delete_object(Bucket=bucket, Key=manifest_key(kind, job_id, run_no))
        below = prefix(kind, job_id, run_no)
        return _abort(client, bucket, below) + _empty(client, bucket, below)


def _abort(client: Any, bucket: str, below: str) -> int:
    aborted = 0
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=below):
        for upload in page.get("Uploads", []):
            with suppress(client.exceptions.NoSuchUpload):  # somebody else aborted it in this moment
                client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            aborted += 1
    return aborted


def _empty(client: Any, bucket: str, below: str) -> int:
    removed = 0
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            removed += len(keys)
    return removed
