"""`make deploy`, as far as it goes without AWS: the same commands against the emulator."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest

from infra import package
from infra.local import emulator
from infra.local.state import State


class Command(Protocol):
    """Runs a module of the project; a client speaks to the same emulator."""

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]: ...

    def client(self, service: str) -> Any: ...


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

    class Run:
        def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", *words]
            return subprocess.run(command, cwd=package.ROOT, env=os.environ | aws, capture_output=True, text=True)

        def client(self, service: str) -> Any:
            keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
            return boto3.client(service, endpoint_url=aws["AWS_ENDPOINT_URL"], **keys)

    run = Run()

    with state.hold("a test") as lock:
        child = emulator.start(state.folder, port, lock)
        try:
            yield run
        finally:
            emulator.stop(child, state.folder)


@pytest.fixture(scope="module")
def packaged() -> Iterator[Path]:
    out = package.ROOT / "build" / STAGE
    package.build(STAGE, out, with_layer=False)
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


def test_an_index_more_and_an_index_less_are_two_steps(python: Command, packaged: Path) -> None:
    assert python("infra.deploy", "--stage", STAGE).returncode == 0
    file = packaged / "template.json"
    whole = file.read_text(encoding="utf-8")
    template = json.loads(whole)
    audit = template["Resources"]["AuditTable"]["Properties"]
    # An earlier release, which knew neither of two indexes.
    audit["GlobalSecondaryIndexes"] = [
        index for index in audit["GlobalSecondaryIndexes"] if index["IndexName"] not in ("by_type", "by_action")
    ]
    audit["AttributeDefinitions"] = [
        column for column in audit["AttributeDefinitions"] if column["AttributeName"] not in ("record_type", "action")
    ]
    try:
        file.write_text(json.dumps(template), encoding="utf-8")
        back = python("infra.deploy", "--stage", STAGE)
    finally:
        file.write_text(whole, encoding="utf-8")
    assert "3 of 3: remove index by_type of AuditTable" in back.stdout, back.stderr
    there = python("infra.deploy", "--stage", STAGE)
    assert "1 of 3: add index" in there.stdout, there.stderr
    assert "is up to date" in python("infra.deploy", "--stage", STAGE).stdout


def test_a_deleted_stack_comes_back_to_its_tables(python: Command, packaged: Path) -> None:
    assert python("infra.deploy", "--stage", STAGE).returncode == 0
    token = python("infra.first_token", "--stage", STAGE).stdout.strip()
    name = f"carillon-{STAGE}"
    cloudformation, dynamodb = python.client("cloudformation"), python.client("dynamodb")
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    # The emulator takes tables into a new stack, but refuses the name of a bucket that is there.
    again = python("infra.deploy", "--stage", STAGE, "--files-bucket", f"{name}-files-again")
    assert again.returncode == 0, again.stderr
    assert "Creating stack" in again.stdout
    found = dynamodb.get_item(TableName=f"{name}-tokens", Key={"token_id": {"S": token.split("_")[1]}})
    assert "Item" in found
    table = dynamodb.describe_table(TableName=f"{name}-jobs")["Table"]
    assert table["DeletionProtectionEnabled"]


def test_the_second_stage_of_earlier_versions_goes(python: Command, packaged: Path) -> None:
    done = python("infra.deploy", "--stage", STAGE)
    gateway = python.client("apigateway")
    assert done.returncode == 0, done.stderr
    (api_id,) = re.findall(r"ApiId +(\S+)", done.stdout)
    (stage,) = gateway.get_stages(restApiId=api_id)["item"]
    gateway.create_stage(restApiId=api_id, stageName="Stage", deploymentId=stage["deploymentId"])
    assert python("infra.deploy", "--stage", STAGE).returncode == 0
    assert [each["stageName"] for each in gateway.get_stages(restApiId=api_id)["item"]] == ["api"]


def test_more_workers_than_the_account_may_run_are_refused(python: Command, packaged: Path) -> None:
    done = python("infra.deploy", "--stage", STAGE, "--set", "WorkConcurrency=999")
    assert done.returncode == 1
    said = re.search(r"may run (\d+) at once: --set WorkConcurrency=(\d+)", done.stderr)
    assert said is not None, done.stderr
    assert int(said[2]) + 5 == int(said[1])


def test_an_unknown_parameter_is_named(python: Command, packaged: Path) -> None:
    done = python("infra.deploy", "--stage", STAGE, "--set", "Colour=green")
    assert done.returncode == 1
    assert "no parameter Colour" in done.stderr
