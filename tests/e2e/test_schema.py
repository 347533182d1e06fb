"""What `/api/openapi.json` promises, held against every operation of a running stack. `make bench` takes longer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.local_stack import LocalStack
from tests.e2e.schema import run

# Requests made up for each operation.
EXAMPLES = 5


@pytest.fixture(scope="module")
def own_stack(servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The run edits and deletes what it finds: other tests need the samples as they are."""
    stack = LocalStack(tmp_path_factory.mktemp("schema") / "state").start()
    try:
        yield stack
    finally:
        stack.stop()


def test_every_answer_is_as_described(own_stack: LocalStack, tmp_path: Path) -> None:
    found = run(own_stack, tmp_path, "--phases", "fuzzing", "--max-examples", str(EXAMPLES), "--seed", "1")
    assert not found.failures, found.said
    assert len(found.calls) == found.selected > 40, "every operation was called"
    assert len(found.done) > found.selected / 2, "and most of them did something"
