"""One local stack for all tests that ask for it. Mark their module `xdist_group("stack")`: it is started once then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.local_stack import LocalStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The stack as `make run` brings it up, sample data included."""
    running = LocalStack(tmp_path_factory.mktemp("stack") / "state").start()
    try:
        yield running
    finally:
        running.stop()
