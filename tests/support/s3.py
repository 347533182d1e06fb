"""A bucket in memory, and a client that fails when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

BUCKET = "exports"


@cache
def _client() -> Any:
    """One client for all: moto stands behind it, and making one takes longer than most of the tests."""
    return boto3.client("s3", region_name="us-east-1")


@pytest.fixture
def client() -> Iterator[Any]:
    """S3 in memory, with one empty bucket."""
    with mock_aws():
        _client().create_bucket(Bucket=BUCKET)
        yield _client()


def refusal(operation: str, code: str = "InternalError") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "We encountered an internal error."}}, operation)


def unreachable() -> EndpointConnectionError:
    return EndpointConnectionError(endpoint_url="https://s3.example")


class Saboteur:
    """The client, except that the nth call of one operation raises, before or after it did its work."""

    def __init__(self, client: Any, operation: str, error: Exception, *, at: int = 1, after: bool = False) -> None:
        self._client = client
        self._operation = operation
        self._error = error
        self._left = at
        self._after = after
        self.calls: list[str] = []
        self.keys: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method) or name.startswith("get_"):
            return method

        def call(**arguments: Any) -> Any:
            self.calls.append(name)
            self.keys.append(str(arguments.get("Key")))
            if name == self._operation:
                self._left -= 1
                if self._left == 0:
                    if self._after:
                        method(**arguments)
                    raise self._error
            return method(**arguments)

        return call


class Watcher:
    """The client, telling every part that goes through it."""

    def __init__(self, client: Any, on_part: Callable[[int, int], None]) -> None:
        self._client = client
        self._on_part = on_part

    def __getattr__(self, name: str) -> Any:
        if name == "upload_part":
            return self._upload_part
        return getattr(self._client, name)

    def _upload_part(self, **arguments: Any) -> Any:
        self._on_part(arguments["PartNumber"], len(arguments["Body"]))
        return self._client.upload_part(**arguments)


def left_behind(client: Any) -> list[str]:
    """Every object and every unfinished upload of the bucket."""
    objects = [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    uploads = [item["Key"] for item in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]
    return objects + [f"upload of {key}" for key in uploads]
