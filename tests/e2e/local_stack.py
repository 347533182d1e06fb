"""`make run`, started and stopped by a test: the same process, on ports of its own and a state of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from infra.local.address import Caller
from infra.local.emulated import PARENT_DEATH_SIGNAL
from infra.local.emulator import free_port
from infra.local.state import State
from infra.package import ROOT

# Generous: two of these may start at once on a machine that is busy with the other tests.
READY_SECONDS = 120.0
STOP_SECONDS = 40.0


def end_with_tests() -> None:
    """Tests that are killed leave no stack behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)


class LocalStack:
    def __init__(self, folder: Path, port: int | None = None):
        self.folder = folder
        self.port = port or free_port()
        self.state = State(folder)
        self.base_url = f"http://127.0.0.1:{self.port}/api"
        self.log = folder.with_name(f"{folder.name}.log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> LocalStack:
        """Return when the runner says it is ready; its words are in `log`."""
        started = self.said().count("Ready after")
        with self.log.open("ab") as log:
            self.process = self.runner(stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + READY_SECONDS
        while self.said().count("Ready after") == started:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"the stack did not come up:\n{self.said()}\n{self.emulator_said()}")
            time.sleep(0.1)
        return self

    def runner(self, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "infra.local", "--port", str(self.port), "--state", str(self.folder)]
        # A session of its own stands for a terminal of its own.
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=end_with_tests, **options
        )

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask the runner to stop, as Ctrl-C does; answers how it ended."""
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def emulator_said(self) -> str:
        log = self.folder / "emulator.log"
        return log.read_text(encoding="utf-8", errors="replace")[-5_000:] if log.exists() else ""

    def as_(self, role: str) -> Caller:
        """The API, called with the token of a role; of nobody when the role is empty."""
        known = self.state.credentials
        assert known is not None
        return Caller(self.base_url, known["tokens"][role] if role else None)

    def processes(self) -> list[str]:
        """The command lines of all processes that belong to this state, by what their environment or arguments name."""
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            if int(each.name) == os.getpid():
                continue
            try:
                belongs = (
                    str(self.state.folder).encode() in (each / "environ").read_bytes() + (each / "cmdline").read_bytes()
                )
                words = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if belongs and words:
                found.append(words)
        return found
