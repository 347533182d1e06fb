"""The embedded AWS emulator as a child process (`emulated.py`): start it, stop it, call it.

It gets a session of its own, so that a Ctrl-C in the terminal reaches the runner alone, which then stops it in order:
the emulator writes its state when asked to terminate, and every few seconds against a kill (`snapshots`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, TextIO

import boto3

from infra.local.emulated import WORD_TO_WORK

HOST = "127.0.0.1"
ROOT = Path(__file__).parent.parent.parent

# Writing the state takes under a second; a worker in the middle of an export gets two.
STOP_SECONDS = 20.0
START_SECONDS = 60.0


class EmulatorProblem(Exception):
    """The emulator did not start."""


def start(state: Path, port: int, lock: TextIO) -> subprocess.Popen[bytes]:
    """Start the emulator on a port with its state below a folder; returns when it answers.

    It and its functions keep the state's lock open, so that no other runner starts on a state that is still being
    written. The work queue is not read before `let_work`.
    """
    for name in ("services", "s3", "tmp"):
        (state / name).mkdir(parents=True, exist_ok=True)
    with (state / "emulator.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "infra.local.emulated", str(lock.fileno())],
            cwd=ROOT,
            env=environment(state, port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
    try:
        wait_for(child, port, state)
    except BaseException:
        stop(child, state)
        raise
    return child


def let_work(child: subprocess.Popen[bytes]) -> None:
    """Let the emulator read the work queue, and so start workers."""
    child.send_signal(WORD_TO_WORK)


def wait_for(child: subprocess.Popen[bytes], port: int, state: Path) -> None:
    """Return when the emulator answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/_ministack/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise EmulatorProblem(f"the emulator did not start; its log is {state / 'emulator.log'}")


def environment(state: Path, port: int) -> dict[str, str]:
    """All that the emulator and every function it runs get to see: nothing of the caller's AWS configuration."""
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "COVERAGE_PROCESS_START") if name in os.environ
    }
    return kept | {
        "HOME": str(state / "tmp"),
        "TMPDIR": str(state / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        # Enforces the functions' roles, so a permission that is missing is missing here too.
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state / "services"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state / "s3"),
        "LOG_LEVEL": "WARNING",
        # Listeners that nothing here uses, one of which would be open to the network.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # No Docker: every function runs as a process of this machine.
        "DOCKER_HOST": f"unix://{state / 'tmp' / 'no-docker.sock'}",
    }


def session(port: int) -> boto3.Session:
    """Calls of this process, and of clients that others make here, go to the emulator from now on."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return boto3.Session()


def client(port: int, service: str) -> Any:
    """One client that speaks to the emulator, for a process whose other clients do not."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    return session.client(service, endpoint_url=f"http://{HOST}:{port}")  # type: ignore[call-overload]


def stop(child: subprocess.Popen[bytes], state: Path) -> None:
    """Have the emulator write its state and end, and leave none of the functions' processes behind."""
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    shutil.rmtree(state / "tmp", ignore_errors=True)


def check_free(port: int) -> None:
    """Raise OSError where another process listens on this port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        found: int = probe.getsockname()[1]
        return found
