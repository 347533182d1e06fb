"""One contract, two backends: what only one of them accepts is a bug in waiting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.ministack import ministack_world
from tests.support.world import World, a_world


@pytest.fixture(params=["moto", pytest.param("ministack", marks=pytest.mark.server)])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Empty tables in one of the emulators."""
    if request.param == "moto":
        with a_world() as world:
            yield world
        return
    with ministack_world(request.getfixturevalue("ministack"), monkeypatch) as world:
        yield world
