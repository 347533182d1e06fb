"""Kills: a worker in the middle of a job, and every process of the stack at once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.e2e.local_stack import LocalStack
from tests.soak.diary import Diary


def workers(stack: LocalStack) -> list[int]:
    """The processes in which `work` runs."""
    found = []
    for number, _ in stack.found():
        with contextlib.suppress(OSError):
            environment = Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
            if any(each.startswith(b"AWS_LAMBDA_FUNCTION_NAME=") and b"-Work-" in each for each in environment):
                found.append(number)
    return found


def kill_a_worker(stack: LocalStack, diary: Diary, choice: random.Random) -> None:
    """SIGKILL: it writes nothing more. Waits some seconds for a job that runs, so that the kill finds one."""
    asked = datetime.now(UTC)
    call, deadline = stack.as_("viewer"), time.monotonic() + 8
    while time.monotonic() < deadline and not (running := call("GET", "/jobs/counts")["running"]):
        time.sleep(0.02)
    if found := workers(stack):
        victim = choice.choice(found)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            diary.note("kill_worker", asked=asked, process=victim, running=running)


def cut_the_power(stack: LocalStack, diary: Diary) -> None:
    """SIGKILL every process of the stack and start it again. What came after its last snapshot is lost."""
    asked = datetime.now(UTC)
    stack.kill()
    diary.note("kill_stack", asked=asked, since=stack.snapshot().isoformat())
    stack.start()
