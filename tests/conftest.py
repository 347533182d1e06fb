"""Fixtures for every test. The world is imported first: it sets the environment that chalicelib reads once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from tests.support.world import World, a_world  # isort: skip
from tests.support import lanes  # isort: skip

from chalicelib.aws.clients import client

# Table names are read when these are imported: now, before any test changes the environment.
from chalicelib.store import audit, catalogue, idempotency, job_record, logs, runs, tasks, tokens  # noqa: F401
from tests.support.ministack import ministack  # noqa: F401
from tests.support.postgres import postgres_fixture  # noqa: F401


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        lanes.mark(item)
    items[:] = lanes.in_order(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with nullcontext() if lanes.needs_servers(item) else lanes.no_servers():
        return (yield)


@pytest.fixture(scope="session")
def servers() -> None:
    """Lets a test or a fixture start processes and listen on sockets. Its tests get the mark `server`."""


@pytest.fixture(autouse=True)
def _address() -> Iterator[None]:
    """A test that leaves the address of an emulator in its process would send the calls of the others there."""
    yield
    assert "AWS_ENDPOINT_URL" not in os.environ


@pytest.fixture
def world() -> Iterator[World]:
    """A stage in memory, empty."""
    with a_world() as made:
        yield made


@pytest.fixture
def stage(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A stage whose ticks, deliveries and sweeps the test drives, under its own clock."""
    from tests.support.simulator import a_stage

    yield a_stage(world, monkeypatch)
    client("sqs").meta.events.unregister("before-parameter-build.sqs.SendMessageBatch", unique_id="tests-delay")
