"""The tables that the model plays on, under the contract that moto and ministack are held to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.model.aws import in_memory
from tests.store.test_contract import *  # noqa: F403
from tests.support.world import World


@pytest.fixture
def backend() -> Iterator[World]:
    with in_memory():
        yield World()
