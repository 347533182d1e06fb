"""What `make run` promises: health, credentials, one stack per state, nothing left behind, nothing lost."""

from __future__ import annotations

import errno
import http.client
import os
import re
import signal
import sqlite3
import stat
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.local import __main__ as runner
from infra.local.address import Caller, Refused
from tests.e2e.counting import start_counting
from tests.e2e.local_stack import PATIENCE_SECONDS, LocalStack, wait_until_ended
from tests.support.waiting import wait_for


def test_health_reaches_every_service(stack: LocalStack) -> None:
    health = stack.as_("")("GET", "/health")
    assert health["status"] == "ok"
    assert health["stage"] == "local"
    assert all(service["reachable"] for service in health["services"])


@pytest.mark.parametrize("role", ["viewer", "operator", "editor", "admin"])
def test_there_is_a_token_for_each_role(stack: LocalStack, role: str) -> None:
    assert stack.as_(role)("GET", "/me")["role"] == role


def test_credentials_are_for_their_owner_only(stack: LocalStack) -> None:
    assert stat.S_IMODE(stack.state.credentials_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(stack.folder.stat().st_mode) == 0o700
    known = stack.state.credentials
    assert known is not None
    assert known["base_url"] == stack.base_url


def test_the_tokens_are_readable_when_health_answers(stack: LocalStack) -> None:
    assert stack.known_when_well is not None
    assert stack.known_when_well == stack.state.credentials


@pytest.mark.parametrize("function", ["tick", "sweep"])
def test_tick_and_sweep_run_right_after_the_start(stack: LocalStack, function: str) -> None:
    """The emulator's rules fire a minute after they were made, and again as long after each start."""
    assert stack.ready_at is not None
    deadline = time.monotonic() + PATIENCE_SECONDS
    found: list[float] = []
    while not found:
        assert time.monotonic() < deadline, f"{function} did not run"
        time.sleep(0.2)
        found = stack.beginnings(function)
    assert found[0] < stack.ready_at.timestamp() + 20


def test_a_request_without_a_token_gets_an_error_of_the_usual_shape(stack: LocalStack) -> None:
    with pytest.raises(Refused, match=r'"Code": ?"Unauthenticated".*"Errors": ?\[\]') as refused:
        stack.as_("")("GET", "/tasks")
    assert refused.value.status == 401


def test_an_unknown_token_is_refused(stack: LocalStack) -> None:
    with pytest.raises(Refused) as refused:
        Caller(stack.base_url, f"carillon_nobody_{'0' * 64}")("GET", "/tasks")
    assert refused.value.status == 401


def test_an_unknown_path_is_not_found(stack: LocalStack) -> None:
    with pytest.raises(Refused, match=r'"Code": ?"NotFound"') as refused:
        stack.as_("admin")("GET", "/nothing/here")
    assert refused.value.status == 404


def test_the_front_page_names_the_api_address(stack: LocalStack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port)
    connection.request("GET", "/")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200
    assert stack.base_url in text


def test_the_samples_are_there(stack: LocalStack) -> None:
    (task,) = stack.as_("viewer")("GET", "/tasks?search=Shop%20orders")["items"]
    assert task["enabled"] is True
    assert task["next_fire_at"] is not None


def test_a_second_start_says_that_it_runs_already(stack: LocalStack) -> None:
    second = LocalStack(stack.folder)
    refused = second.runner(stdout=-1, stderr=-1)
    _, said = refused.communicate(timeout=PATIENCE_SECONDS)
    assert refused.returncode == 1
    assert re.search(rb"is running already: process \d+, http://127\.0\.0\.1:\d+/api", said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "80000"], "a port is a number from 1 to 65535, not '80000'"),
        (["--port", "abc"], "a port is a number from 1 to 65535, not 'abc'"),
        (["--port", "0"], "a port is a number from 1 to 65535, not '0'"),
        (["--state", "/proc/nope"], "STATE /proc/nope cannot be written to: "),
        (["--state", "pyproject.toml"], "pyproject.toml cannot be written to: Not a directory"),
    ],
)
def test_an_impossible_option_is_refused_in_a_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_main(words, monkeypatch) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error


def test_a_state_without_permission_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        """The system's answer to every user but root, which no permission stops."""
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refused)
    assert run_main(["--state", str(tmp_path / "state")], monkeypatch) == 2
    assert "cannot be written to: Permission denied" in capsys.readouterr().err


def test_a_folder_with_other_files_is_refused_as_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "letters").touch()
    mode = tmp_path.stat().st_mode
    assert run_main(["--state", str(tmp_path)], monkeypatch) == 2
    assert "holds other things" in capsys.readouterr().err
    assert tmp_path.stat().st_mode == mode


def run_main(words: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """How the runner ends that is given these words; it begins nothing."""
    monkeypatch.setattr("sys.argv", ["infra.local", *words])
    monkeypatch.setattr(runner, "run", lambda *_: pytest.fail("began"))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        return runner.main()
    except SystemExit as ended:
        return ended.code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_port_in_use_is_named(stack: LocalStack, tmp_path: Path) -> None:
    other = LocalStack(tmp_path / "state", port=stack.port)
    refused = other.runner(stdout=-1, stderr=-1)
    _, said = refused.communicate(timeout=PATIENCE_SECONDS)
    assert refused.returncode == 1
    assert f"port {stack.port} cannot be used".encode() in said
    assert not other.processes()


def test_a_stop_or_a_kill_leaves_no_process_and_loses_no_record(servers: None, tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "state").start()
    made = stack.as_("admin")("POST", "/tokens", {"name": "kept", "role": "viewer"})
    known, port = stack.state.credentials, stack.state.emulator_port
    assert stack.stop(signal.SIGINT) == 0
    assert stack.processes() == []

    stack.start()
    try:
        assert Caller(stack.base_url, made["token"])("GET", "/me")["name"] == "token:kept"
        assert stack.state.credentials == known
        assert stack.state.emulator_port == port
        assert stack.said().count("is up to date") == 1
        ends = stack.state.data / "ends.db"
        job_id = start_counting(stack, ends)
        assert stack.process is not None
        stack.process.kill()
        stack.process.wait()
        with closing(sqlite3.connect(ends)) as connection, connection:
            connection.execute("UPDATE ends SET upto = 10")

        stack.start()
        assert stack.said().count("is up to date") == 2
        assert "Jobs whose run the last stop cut off: 1. They run again where their retries allow" in stack.said()
        # Long before the lease of fifteen minutes ends.
        job = wait_until_ended(stack.as_("viewer"), job_id)
        assert job["status"] == "succeeded", job
        runs = stack.as_("viewer")("GET", f"/jobs/{job_id}/runs")["items"]
        found = sorted((run["run_no"], run["status"], run["reason"]) for run in runs)
        assert found == [(1, "failed", "worker_lost"), (2, "succeeded", None)]
    finally:
        ended = stack.stop(signal.SIGTERM)
    assert ended == 0
    assert stack.processes() == []
    assert stack.said().count("when the stack was stopped.") == 2
    sys.stdout.write(f"starts: {re.findall(r'Ready after (.*)[.]', stack.said())}\n")


def test_a_kill_of_every_process_loses_nothing_that_a_snapshot_holds(servers: None, tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "state").start()
    made = stack.as_("admin")("POST", "/tokens", {"name": "kept", "role": "viewer"})
    after = datetime.now(UTC)
    known = stack.state.credentials
    wait_for(lambda: stack.snapshot() > after)
    stack.kill()

    stack.start()
    try:
        assert "The stack was killed, not stopped. Going on from its last snapshot, of 20" in stack.said()
        assert Caller(stack.base_url, made["token"])("GET", "/me")["name"] == "token:kept"
        assert stack.state.credentials == known
        assert stack.said().count("is up to date") == 1
        (task,) = stack.as_("viewer")("GET", "/tasks?search=Shop%20orders")["items"]
        assert task["next_fire_at"] is not None
    finally:
        ended = stack.stop()
    assert ended == 0
