"""One local stack per test process, for all tests that ask for it; so a test looks for what it made itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.local_stack import LocalStack


@pytest.fixture(scope="session")
def stack(servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The stack as `make run` brings it up, sample data included."""
    running = LocalStack(tmp_path_factory.mktemp("stack") / "state").start()
    try:
        yield running
    finally:
        running.stop()
