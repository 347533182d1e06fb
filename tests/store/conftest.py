"""One contract, two backends: what only one of them accepts is a bug in waiting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from chalicelib.aws import clients
from chalicelib.store import base
from infra.local import emulator
from tests.world import REGION, World, a_world, table_declarations


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The embedded emulator's port; one process for all tests of this worker."""
    state: Path = tmp_path_factory.mktemp("ministack")
    port = emulator.free_port()
    with (state / "lock").open("w") as lock:
        child = emulator.start(state, port, lock)
        yield port
        emulator.stop(child, state)


def forget_clients() -> None:
    base.client.cache_clear()
    clients.client.cache_clear()


@pytest.fixture(params=["moto", "ministack"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Empty tables in one of the emulators."""
    if request.param == "moto":
        with a_world() as world:
            yield world
        return
    port = request.getfixturevalue("ministack")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    forget_clients()
    dynamodb: Any = boto3.client("dynamodb", region_name=REGION)
    for declaration in table_declarations():
        dynamodb.create_table(**declaration)
    yield World()
    for declaration in table_declarations():
        dynamodb.delete_table(TableName=declaration["TableName"])
    forget_clients()
    assert "AWS_ENDPOINT_URL" in os.environ
