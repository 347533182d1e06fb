"""Where a run's objects lie, and how all of them are removed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

from chalicelib import retention
from chalicelib.exports.upload import storage_errors

# S3 takes keys of 1,024 bytes; a name of 255 bytes, each percent-encoded, and what stands before it stay below.
MANIFEST = "manifest.json"


def prefix(kind: str, job_id: str, run_no: int) -> str:
    return f"{retention.prefix('files', kind)}/{job_id}/{run_no}/"


def file_key(kind: str, job_id: str, run_no: int, number: int, file_name: str) -> str:
    """`number` tells files apart whose names are the same but for letters that S3 or a download cannot keep."""
    return f"{prefix(kind, job_id, run_no)}{number}/{quote(file_name, safe='')}"


def manifest_key(kind: str, job_id: str, run_no: int) -> str:
    return prefix(kind, job_id, run_no) + MANIFEST


def discard(client: Any, bucket: str, kind: str, job_id: str, run_no: int) -> int:
    """Abort every upload and delete every object of a run; how many there were. Repeating it changes nothing.

    The manifest goes first: what has none was never whole.
    """
    with storage_errors(prefix(kind, job_id, run_no)):
        return _discard(client, bucket, prefix(kind, job_id, run_no))


def _discard(client: Any, bucket: str, below: str) -> int:
    client.delete_object(Bucket=bucket, Key=below + MANIFEST)
    removed = 0
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=below):
        for upload in page.get("Uploads", []):
            with suppress(client.exceptions.NoSuchUpload):  # somebody else aborted it in this moment
                client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            removed += 1
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            removed += len(keys)
    return removed
