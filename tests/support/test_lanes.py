"""The fast lane starts no server: a test without the mark `server` cannot, and says so when it tries."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.support.lanes import StartsServer

NOTHING = [sys.executable, "-c", ""]


@pytest.fixture
def marks(request: pytest.FixtureRequest) -> set[str]:
    return {mark.name for mark in request.node.iter_markers()}


def listen() -> None:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()


def test_a_new_test_is_in_the_fast_lane(marks: set[str]) -> None:
    assert marks == {"unit"}


@pytest.mark.parametrize("start", [lambda: subprocess.Popen(NOTHING), lambda: os.fork(), listen])
def test_a_test_of_the_fast_lane_starts_no_server(start: Callable[[], object]) -> None:
    with pytest.raises(StartsServer):
        start()


def test_a_test_of_the_fast_lane_may_run_a_command_to_its_end() -> None:
    assert subprocess.run(NOTHING, check=True).returncode == 0


def test_a_test_that_asks_for_servers_is_in_the_other_lane(servers: None, marks: set[str]) -> None:
    assert marks == {"server"}
    listen()
    with subprocess.Popen(NOTHING) as started:
        pass
    assert started.returncode == 0


@pytest.mark.slow
def test_a_slow_test_is_in_the_other_lane(marks: set[str]) -> None:
    assert marks == {"slow"}
