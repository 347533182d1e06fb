"""The reference of parameters is that of the template."""

from __future__ import annotations

from typing import Any

from infra.deploy import OWN
from infra.package import ROOT
from tests.test_docs import rows


def test_every_parameter_stands_in_the_reference_with_its_default(template: dict[str, Any]) -> None:
    told = {
        row[0].strip("`"): row[1].strip("`")
        for row in rows((ROOT / "docs" / "reference" / "parameters.md").read_text("utf-8"))
        if row[0].startswith("`")
    }
    known = {name: str(each["Default"]) or "empty" for name, each in template["Parameters"].items() if name not in OWN}
    assert told == known


def test_every_parameter_says_what_it_is_for(template: dict[str, Any]) -> None:
    assert all(each["Description"] for each in template["Parameters"].values())
