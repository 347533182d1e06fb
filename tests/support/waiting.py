"""Waits for what other threads, processes and databases do, and allows for a machine that is busy with other things."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# For what takes a second or two on a quiet machine. It ends only tests that would fail anyway.
PATIENCE_SECONDS = 120.0
_SPIN_SECONDS = 0.1


def wait_for(found: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """The first answer of `found` that is true."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
    return value


def slowness() -> float:
    """How many times longer work takes now than on a quiet machine, where it is 1: multiply a promised time by it."""
    begun, used = time.monotonic(), time.thread_time()
    while time.thread_time() - used < _SPIN_SECONDS:
        pass
    return max(1.0, (time.monotonic() - begun) / _SPIN_SECONDS)
