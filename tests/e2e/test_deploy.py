"""`make deploy`, as far as it goes without AWS: the same commands against the emulator."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra import package
from infra.local import emulator
from infra.local.state import State

Command = Callable[..., "subprocess.CompletedProcess[str]"]
STAGE = "deploytest"


@pytest.fixture(scope="module")
def python(servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Runs a module of the project with AWS configured to be an emulator of its own."""
    state = State(tmp_path_factory.mktemp("deploy") / "state")
    port = emulator.free_port()
    aws = {
        "AWS_ENDPOINT_URL": f"http://{emulator.HOST}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, cwd=package.ROOT, env=os.environ | aws, capture_output=True, text=True)

    with state.hold("a test") as lock:
        child = emulator.start(state.folder, port, lock)
        try:
            yield run
        finally:
            emulator.stop(child, state.folder)


@pytest.fixture(scope="module")
def packaged() -> Iterator[Path]:
    out = package.ROOT / "build" / STAGE
    package.build(STAGE, out, layer=False)
    yield out
    shutil.rmtree(out)


def test_a_stage_that_is_not_packaged_is_named(python: Command) -> None:
    done = python("infra.deploy", "--stage", "nowhere")
    assert done.returncode == 1
    assert "make package STAGE=nowhere" in done.stderr


def test_a_stage_is_created_then_left_alone_then_updated(python: Command, packaged: Path) -> None:
    first = python("infra.deploy", "--stage", STAGE)
    assert first.returncode == 0, first.stderr
    assert "Creating stack carillon-deploytest" in first.stdout
    assert ".execute-api.eu-central-1.amazonaws.com/api" in first.stdout
    assert "infra.first_token --stage deploytest" in first.stdout

    assert "is up to date" in python("infra.deploy", "--stage", STAGE).stdout

    changed = python("infra.deploy", "--stage", STAGE, "--set", "RetentionDays=7")
    assert "Updating stack" in changed.stdout, changed.stderr
    # What was set once stays without being said again.
    assert "is up to date" in python("infra.deploy", "--stage", STAGE).stdout


def test_the_first_token_is_an_admins(python: Command, packaged: Path) -> None:
    assert python("infra.deploy", "--stage", STAGE).returncode == 0
    done = python("infra.first_token", "--stage", STAGE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("carillon_")


def test_a_stage_without_failed_events_has_none_to_replay(python: Command, packaged: Path) -> None:
    assert python("infra.deploy", "--stage", STAGE).returncode == 0
    done = python("infra.replay", "--stage", STAGE)
    assert (done.returncode, done.stdout) == (0, "0 events handled, 0 stay in the queue.\n"), done.stderr


def test_an_unknown_parameter_is_named(python: Command, packaged: Path) -> None:
    done = python("infra.deploy", "--stage", STAGE, "--set", "Colour=green")
    assert done.returncode == 1
    assert "no parameter Colour" in done.stderr
