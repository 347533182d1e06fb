"""`make run`, started and stopped by a test: the same process, on ports of its own and a state of its own."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.local.address import Caller
from infra.local.emulated import PARENT_DEATH_SIGNAL
from infra.local.emulator import free_port
from infra.local.logs import events as functions_logs
from infra.local.snapshots import ABOUT
from infra.local.state import State
from infra.package import ROOT

# Generous: two of these may start at once on a machine that is busy with other things.
READY_SECONDS = 300.0
STOP_SECONDS = 120.0
# For what takes a second or two on a quiet machine.
PATIENCE_SECONDS = 180.0


def end_with_tests() -> None:
    """Tests that are killed leave no stack behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)


class LocalStack:
    def __init__(self, folder: Path, port: int | None = None):
        self.folder = folder
        self.port = port or free_port()
        self.files_port = free_port()
        self.state = State(folder)
        self.base_url = f"http://127.0.0.1:{self.port}/api"
        self.log = folder.with_name(f"{folder.name}.log")
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_at: datetime | None = None
        self.known_when_well: dict[str, Any] | None = None

    def start(self) -> LocalStack:
        """Return when health answers and the runner says it is ready; its words are in `log`.

        What it had written when health answered first is kept: others wait for health, then read the tokens.
        """
        started = self.said().count("Ready after")
        with self.log.open("ab") as log:
            self.process = self.runner(stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + READY_SECONDS
        well = False
        while not (well and self.said().count("Ready after") > started):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"the stack did not come up:\n{self.said()}\n{self.emulator_said()}")
            if not well and self.answers():
                well, self.known_when_well = True, self.state.credentials
            time.sleep(0.1)
        self.ready_at = datetime.now(UTC)
        return self

    def answers(self) -> bool:
        """Whether health says that all is well, asked as a script would: again and again, with little patience."""
        try:
            with urllib.request.urlopen(f"{self.base_url}/health", timeout=10) as answer:
                return answer.status == 200
        except (OSError, http.client.HTTPException):
            return False

    def runner(self, **options: Any) -> subprocess.Popen[bytes]:
        ports = ["--port", str(self.port), "--files-port", str(self.files_port)]
        command = [sys.executable, "-m", "infra.local", *ports, "--state", str(self.folder)]
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

    def kill(self) -> None:
        """End every process of the stack at once, as a loss of power does: none of them can write a thing."""
        assert self.process is not None
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process, _ in self.found():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
        self.process.wait()

    def snapshot(self) -> datetime:
        """The instant of the last snapshot of the emulator's state."""
        try:
            told = json.loads((self.state.services / ABOUT).read_text("utf-8"))
        except FileNotFoundError:
            return datetime.min.replace(tzinfo=UTC)
        return datetime.fromisoformat(told["at"])

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def emulator_said(self) -> str:
        log = self.folder / "emulator.log"
        return log.read_text(encoding="utf-8", errors="replace")[-5_000:] if log.exists() else ""

    def beginnings(self, function: str) -> list[float]:
        """When a function began its work each time, in seconds since 1970."""
        port = self.state.emulator_port
        assert port is not None
        said = functions_logs(port, "carillon-local", function)
        return sorted(event["timestamp"] / 1000 for event in said if event["message"].startswith("START "))

    def as_(self, role: str) -> Caller:
        """The API, called with the token of a role; without a token when the role is empty."""
        known = self.state.credentials
        assert known is not None
        return Caller(self.base_url, known["tokens"][role] if role else None)

    def processes(self) -> list[str]:
        """The command lines of all processes that belong to this state."""
        return [words for _, words in self.found()]

    def found(self) -> list[tuple[int, str]]:
        """The number and command line of each process whose environment or arguments name this state."""
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
                found.append((int(each.name), words))
        return found


def wait_until_ended(call: Caller, job_id: str) -> dict[str, Any]:
    """The job as its end left it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        job: dict[str, Any] = call("GET", f"/jobs/{job_id}")
        if job["status"] not in ("waiting", "assigned", "running"):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.2)
