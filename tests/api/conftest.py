from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.access.actor import Role
from tests.support.api_records import Make
from tests.support.http import Http, as_role
from tests.support.world import World


@pytest.fixture
def admin(world: World) -> Http:
    return as_role(Role.ADMIN)


@pytest.fixture
def make(admin: Http, world: World) -> Make:
    return Make(admin, world)


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """The log's lines since the last call."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
