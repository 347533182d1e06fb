"""Fixtures for every test. The world is imported first: it sets the environment that chalicelib reads once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.world import World, a_world


@pytest.fixture
def world() -> Iterator[World]:
    """A stage in memory, empty."""
    with a_world() as made:
        yield made
