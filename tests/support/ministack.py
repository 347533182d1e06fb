"""A world on ministack, the emulator that also runs the local stack: another process, reached over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from chalicelib.aws import clients
from chalicelib.settings import settings
from chalicelib.store import base
from infra.local import emulator
from tests.support.world import ENVIRONMENT, REGION, World, _client, clean, table_declarations


@pytest.fixture(scope="session")
def ministack(servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The emulator's port; one process for all tests of this worker."""
    state: Path = tmp_path_factory.mktemp("ministack")
    port = emulator.free_port()
    with (state / "lock").open("w") as lock:
        child = emulator.start(state, port, lock)
        yield port
        emulator.stop(child, state)


def forget() -> None:
    """What a process keeps of its environment."""
    _client.cache_clear()
    base.client.cache_clear()
    clients.client.cache_clear()
    settings.cache_clear()


def environment(port: int) -> dict[str, str]:
    """For a process of the product that is to work on this world."""
    return ENVIRONMENT | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "CARILLON_QUEUE_URL": f"http://127.0.0.1:{port}/000000000000/{ENVIRONMENT['CARILLON_TABLES']}-work",
    }


@contextmanager
def ministack_world(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Empty tables, queue and bucket; they are gone afterwards."""
    clean()
    for name, value in environment(port).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    forget()
    aws: dict[str, Any] = {name: boto3.client(name, region_name=REGION) for name in ("dynamodb", "sqs", "s3")}
    for declaration in table_declarations():
        aws["dynamodb"].create_table(**declaration)
    queue = aws["sqs"].create_queue(QueueName=f"{ENVIRONMENT['CARILLON_TABLES']}-work")["QueueUrl"]
    monkeypatch.setenv("CARILLON_QUEUE_URL", queue)
    bucket = ENVIRONMENT["CARILLON_BUCKET"]
    aws["s3"].create_bucket(Bucket=bucket)
    yield World(queue_url=queue, in_process=False)
    for declaration in table_declarations():
        aws["dynamodb"].delete_table(TableName=declaration["TableName"])
    aws["sqs"].delete_queue(QueueUrl=queue)
    for item in aws["s3"].list_objects_v2(Bucket=bucket).get("Contents", []):
        aws["s3"].delete_object(Bucket=bucket, Key=item["Key"])
    aws["s3"].delete_bucket(Bucket=bucket)
    monkeypatch.undo()
    forget()
    assert "AWS_ENDPOINT_URL" not in os.environ
