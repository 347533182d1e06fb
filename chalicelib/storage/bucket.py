"""The stage's bucket, as its callers reach it."""

from __future__ import annotations

from typing import Any

from chalicelib.aws.clients import client


def s3() -> Any:
    """This process's S3 client."""
    return client("s3")
