"""Where the objects of a job's runs lie, and how they are removed.

files/<kind>/<job id>/<run number>/<file number>/<file name>
files/<kind>/<job id>/<run number>/manifest.json               written last: the files before it are whole
logs/<kind>/<job id>/<run number>.jsonl.gz                     written by logs/archive.py
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

from chalicelib import retention
from chalicelib.aws.batches import delete_objects
from chalicelib.storage.upload import storage_errors

MANIFEST = "manifest.json"


def run_prefix(kind: str, job_id: str, run_no: int) -> str:
    return f"{retention.prefix('files', kind)}/{job_id}/{run_no}/"


def file_key(kind: str, job_id: str, run_no: int, number: int, file_name: str) -> str:
    """The key of a run's file. The number keeps files apart whose names differ only in characters that a download
    cannot keep. S3 takes keys of 1,024 bytes: a name of 255 bytes fits, each of them percent-encoded.
    """
    return f"{run_prefix(kind, job_id, run_no)}{number}/{quote(file_name, safe='')}"


def manifest_key(kind: str, job_id: str, run_no: int) -> str:
    return run_prefix(kind, job_id, run_no) + MANIFEST


def discard_job(client: Any, bucket: str, kind: str, job_id: str) -> int:
    """Abort every upload and delete every object of a job, the logs too; the number of them."""
    files, logs = f"{retention.prefix('files', kind)}/{job_id}/", f"{retention.prefix('logs', kind)}/{job_id}/"
    with storage_errors(files):
        removed = _abort_uploads(client, bucket, files) + _delete_objects(client, bucket, files)
    with storage_errors(logs):
        return removed + _delete_objects(client, bucket, logs)


def discard_run(client: Any, bucket: str, kind: str, job_id: str, run_no: int) -> int:
    """Abort every upload and delete every file of a run; the number of them. Repeating it changes nothing.

    The manifest goes first, because it says that the files are whole.
    """
    prefix = run_prefix(kind, job_id, run_no)
    with storage_errors(prefix):
        client.delete_object(Bucket=bucket, Key=manifest_key(kind, job_id, run_no))
        return _abort_uploads(client, bucket, prefix) + _delete_objects(client, bucket, prefix)


def _abort_uploads(client: Any, bucket: str, prefix: str) -> int:
    aborted = 0
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
        for upload in page.get("Uploads", []):
            with suppress(client.exceptions.NoSuchUpload):  # another process aborted it since it was listed
                client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            aborted += 1
    return aborted


def _delete_objects(client: Any, bucket: str, prefix: str) -> int:
    deleted = 0
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        keys = [item["Key"] for item in page.get("Contents", [])]
        if keys:
            delete_objects(client, bucket, keys)
            deleted += len(keys)
    return deleted
