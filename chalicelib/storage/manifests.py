"""The manifests of a run's files: they stand in the record of its job while they are small, else in the bucket.

Of a run with a long manifest the record holds where it lies: `{"manifest": key, "sha256", "bytes", "count",
"started_at"}`. The hash and the size are those of the object; `count` is the number of files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.errors import FileNotAvailable, Unavailable
from chalicelib.settings import settings
from chalicelib.storage.bucket import s3

GONE = frozenset({"NoSuchKey", "404"})


def read(held: Any) -> list[dict[str, Any]]:
    """The manifests of what a record holds in `files`; empty for None.

    Raises FileNotAvailable when the object has expired, and Unavailable when it is not what the run wrote.
    """
    if not isinstance(held, Mapping):
        return list(held or [])
    try:
        body = bytes(s3().get_object(Bucket=settings().bucket, Key=held["manifest"])["Body"].read())
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in GONE:
            raise FileNotAvailable("The manifest of the job's files has expired.") from error
        raise
    if hashlib.sha256(body).hexdigest() != held["sha256"]:
        raise Unavailable("The manifest of the job's files is not the one that its run wrote.")
    found: list[dict[str, Any]] = json.loads(body)["files"]
    return found


def begun_at(held: Any) -> str:
    """When the run began its first file, as RFC 3339, of a record that has files. Reads no object."""
    return str(held["started_at"] if isinstance(held, Mapping) else held[0]["started_at"])
