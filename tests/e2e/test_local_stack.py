"""What `make run` promises: health, credentials, one stack per state, nothing left behind, nothing lost."""

from __future__ import annotations

import http.client
import re
import signal
import stat
import sys
from pathlib import Path

import pytest

from infra.local.address import Caller, Refused
from tests.e2e.local_stack import LocalStack


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


def test_no_token_is_answered_in_the_shape_of_every_error(stack: LocalStack) -> None:
    with pytest.raises(Refused, match=r'"Code": ?"Unauthenticated".*"Errors": ?\[\]') as refused:
        stack.as_("")("GET", "/tasks")
    assert refused.value.status == 401


def test_a_token_that_nobody_made_is_refused(stack: LocalStack) -> None:
    with pytest.raises(Refused) as refused:
        Caller(stack.base_url, f"carillon_nobody_{'0' * 64}")("GET", "/tasks")
    assert refused.value.status == 401


def test_an_address_that_is_none_is_not_found(stack: LocalStack) -> None:
    with pytest.raises(Refused, match=r'"Code": ?"NotFound"') as refused:
        stack.as_("admin")("GET", "/nothing/here")
    assert refused.value.status == 404


def test_the_front_says_what_is_where(stack: LocalStack) -> None:
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
    _, said = refused.communicate(timeout=60)
    assert refused.returncode == 1
    assert re.search(rb"is running already: process \d+, http://127\.0\.0\.1:\d+/api", said)


def test_a_port_in_use_is_named(stack: LocalStack, tmp_path: Path) -> None:
    other = LocalStack(tmp_path / "state", port=stack.port)
    refused = other.runner(stdout=-1, stderr=-1)
    _, said = refused.communicate(timeout=60)
    assert refused.returncode == 1
    assert f"port {stack.port} cannot be used".encode() in said
    assert not other.processes()


def test_a_stop_leaves_no_process_and_loses_nothing(tmp_path: Path) -> None:
    first = LocalStack(tmp_path / "state").start()
    made = first.as_("admin")("POST", "/tokens", {"name": "kept", "role": "viewer"})
    known = first.state.credentials
    assert first.stop(signal.SIGINT) == 0
    assert first.processes() == []

    again = LocalStack(first.folder, port=first.port).start()
    assert Caller(again.base_url, made["token"])("GET", "/me")["name"] == "token:kept"
    assert again.state.credentials == known
    assert again.state.emulator_port == first.state.emulator_port
    assert "is up to date" in again.said()
    assert again.stop(signal.SIGTERM) == 0
    assert again.processes() == []
    took = re.findall(r"Ready after \d+ s", again.said())
    sys.stdout.write(f"first start: {took[0]}, second start: {took[1]}\n")


def test_a_runner_that_is_killed_takes_the_emulator_along(tmp_path: Path) -> None:
    killed = LocalStack(tmp_path / "state").start()
    assert killed.process is not None
    killed.process.kill()
    killed.process.wait()
    again = LocalStack(killed.folder, port=killed.port)
    try:
        again.start()
        assert "is up to date" in again.said()
    finally:
        again.stop()
    assert again.processes() == []
