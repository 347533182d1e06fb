"""The lanes: `make unit` runs the tests marked `unit`, `make test` runs all. Collection gives the marks; no test asks.

A fixture that starts a process or listens on a socket asks for the fixture `servers`. Every test that reaches
`servers`, directly or through other fixtures, gets the mark `server`. A test without that mark that starts a process or
listens fails with `StartsServer`, in both lanes. A command that has ended when the call returns (`subprocess.run`) is
no server.

`unit` are all tests that have neither that mark nor the mark `slow` (by hand, for more than 2 s of processor time) and
do not lie in a folder of `WHOLE_SYSTEM`. So a new test is in the fast lane unless it needs a server.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

TESTS = Path(__file__).parents[1]
SERVERS = "servers"
# Folders whose tests play the system as a whole: through every crash point, through random histories, as deployed.
WHOLE_SYSTEM = frozenset({"e2e", "faults", "model", "infra", "upgrade"})


def mark(item: pytest.Item) -> None:
    """Give a collected test the marks of its lane."""
    if SERVERS in getattr(item, "fixturenames", ()):
        item.add_marker("server")
    folder = item.path.relative_to(TESTS).parts[0]
    if folder not in WHOLE_SYSTEM and not needs_servers(item) and item.get_closest_marker("slow") is None:
        item.add_marker("unit")


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """The order for two workers, of which each begins with one half: long tests first, each server started once.

    The first worker begins with the tests of the local stack, the second with those of the emulator and PostgreSQL and
    with the slow ones. A worker that has none left takes over the last ones of the other.
    """
    stacks = [item for item in items if item.path.parent.name == "e2e"]
    begun = set(stacks)
    others = [
        item for item in items if item not in begun and {"server", "slow"} & {mark.name for mark in item.iter_markers()}
    ]
    begun |= set(others)
    rest = [item for item in items if item not in begun]
    half = max(0, len(items) // 2 - len(stacks))
    return stacks + rest[:half] + others + rest[half:]


def needs_servers(item: pytest.Item) -> bool:
    return item.get_closest_marker("server") is not None


class StartsServer(AssertionError):
    """A test of the fast lane starts a process or listens on a socket: let it, or its fixture, ask for `servers`."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


@contextmanager
def no_servers() -> Iterator[None]:
    """Until the block is left, no process stays behind a call and no socket listens."""
    run = subprocess.run
    start = subprocess.Popen.__init__
    running: list[bool] = []

    def run_to_its_end(*given: Any, **named: Any) -> Any:
        running.append(True)
        try:
            return run(*given, **named)
        finally:
            running.pop()

    def start_if_run(*given: Any, **named: Any) -> None:
        if not running:
            raise StartsServer
        start(*given, **named)

    def fork_never() -> int:
        raise StartsServer

    def listen_never(self: socket.socket, *_: Any) -> None:
        raise StartsServer

    replaced: list[tuple[Any, str, Callable[..., Any]]] = [
        (subprocess, "run", run_to_its_end),
        (subprocess.Popen, "__init__", start_if_run),
        (os, "fork", fork_never),
        (socket.socket, "listen", listen_never),
    ]
    patches = [mock.patch.object(*each) for each in replaced]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in reversed(patches):
            patch.stop()
