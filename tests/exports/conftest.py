from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.exports.s3 import BUCKET
from tests.postgres import postgres_fixture  # noqa: F401


@pytest.fixture
def client() -> Iterator[Any]:
    with mock_aws():
        s3().create_bucket(Bucket=BUCKET)
        yield s3()


@cache
def s3() -> Any:
    """One client for all: moto stands behind it, and making one takes longer than most of the tests."""
    return boto3.client("s3", region_name="us-east-1")
