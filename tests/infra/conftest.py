"""The template as it is deployed, made once per test process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra import package

FUNCTIONS = {
    "api": "APIHandler",
    "authorize": "Authorize",
    "tick": "Tick",
    "sweep": "Sweep",
    "work": "Work",
    "fire": "Fire",
}  # fmt: skip


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packaged stage, without the dependencies."""
    out = tmp_path_factory.mktemp("package") / "out"
    package.build("test", out, with_layer=False)
    return out


@pytest.fixture(scope="session")
def template(packaged: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((packaged / "template.json").read_text(encoding="utf-8"))
    return found


class Resources(dict[str, dict[str, Any]]):
    """The template's resources by logical id."""

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Their properties, those of one type."""
        return {name: each["Properties"] for name, each in self.items() if each["Type"] == kind}


@pytest.fixture(scope="session")
def resources(template: dict[str, Any]) -> Resources:
    return Resources(template["Resources"])
