"""What the layer holds is pinned, each file by its hash, and is that of `requirements.txt`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra import layer
from infra import template as templates

REQUIREMENTS = layer.REQUIREMENTS.read_text(encoding="utf-8")
LOCK = layer.LOCK.read_text(encoding="utf-8")


def test_the_lock_is_that_of_the_requirements() -> None:
    layer.check()


def test_every_package_of_the_layer_has_its_hashes() -> None:
    pins = layer.locked(LOCK)
    assert layer.wanted(REQUIREMENTS).keys() <= pins.keys()
    assert len(pins) > len(layer.wanted(REQUIREMENTS))
    assert all(hashes for _, hashes in pins.values())


def test_the_command_line_of_chalice_is_not_in_the_layer() -> None:
    assert not layer.locked(LOCK).keys() & (layer.LEFT_OUT | layer.COMMAND_LINE)


def test_boto3_and_botocore_are_of_one_release() -> None:
    pins = layer.locked(LOCK)
    assert pins["boto3"][0] == pins["botocore"][0]


def without(name: str) -> str:
    kept, inside = [], False
    for line in LOCK.splitlines(keepends=True):
        if not line.startswith((" ", "#")):
            inside = line.startswith(f"{name}==")
        if not inside:
            kept.append(line)
    return "".join(kept)


@pytest.mark.parametrize(
    ("requirements", "lock", "said"),
    [
        (REQUIREMENTS + "thing==1\n", LOCK, "thing is 1 in requirements.txt and absent in the lock"),
        (REQUIREMENTS, LOCK.replace("boto3==", "boto3==9."), "boto3 and botocore are of two releases"),
        (REQUIREMENTS, without("jmespath"), "jmespath is needed by boto3, and not locked"),
        (REQUIREMENTS, LOCK + "click==8.1 \\\n    --hash=sha256:00\n", "click is of chalice's command line"),
        (REQUIREMENTS, LOCK + "loose==1\n", "loose has no hash"),
    ],
)
def test_a_lock_that_does_not_fit_is_named(requirements: str, lock: str, said: str) -> None:
    assert said in layer.problems(requirements, lock)


def test_pip_is_told_to_check_the_hashes_and_to_take_wheels_for_lambda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.extend(map(str, command))
        return subprocess.CompletedProcess(command, 1, stdout="", stderr="THESE PACKAGES DO NOT MATCH THE HASHES")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(layer.LayerProblem, match="DO NOT MATCH"):
        layer.install(tmp_path)
    assert {"--require-hashes", "--only-binary", "manylinux2014_x86_64", str(layer.LOCK)} <= set(asked)


def test_each_function_gets_the_layer() -> None:
    functions = {
        name: {"Type": "AWS::Serverless::Function", "Properties": {"Runtime": "python3.11"}} for name in ("A", "B")
    }
    sam: dict[str, Any] = {"Resources": dict(functions)}
    templates.add_layer(sam)
    assert sam["Resources"]["ManagedLayer"]["Properties"]["CompatibleRuntimes"] == ["python3.11"]
    assert all(each["Properties"]["Layers"] == [{"Ref": "ManagedLayer"}] for each in functions.values())
