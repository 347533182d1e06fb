from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib import health
from chalicelib.actor import Role
from tests.api.http import Http, as_role
from tests.api.made import Made
from tests.world import World


@pytest.fixture(autouse=True)
def _fresh(world: World) -> Iterator[None]:
    health.forget()
    yield


@pytest.fixture
def admin(world: World) -> Http:
    return as_role(Role.ADMIN)


@pytest.fixture
def made(admin: Http, world: World) -> Made:
    return Made(admin, world)


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """The log's lines since the last call."""
    import json

    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
