"""What the documents say is so: settings, roles, words, links, make targets, and the picture of the house."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from chalicelib.api import openapi
from chalicelib.api.errors import codes
from chalicelib.api.roles import ROLES
from chalicelib.settings import Settings, variable
from chalicelib.sources.registry import SOURCES, settings_models
from tests.support.house import ALLOWED, ARCHITECTURE, HOUSE, ROOT, picture

README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "infra" / "README.md"])


def rows(text: str) -> list[list[str]]:
    """The cells of each row of a document's tables, heads left out."""
    found = [re.split(r"\s*(?<!\\)\|\s*", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    return [row for row in found if not set("".join(row)) <= set("-")]


def section(name: str, heading: str) -> str:
    """The part of a document below a heading, up to the next heading of its level or above."""
    text = (ROOT / "docs" / name).read_text("utf-8")
    level = heading.split()[0]
    after = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(level)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """The first cell of each row that names something in `code`."""
    return [row[0].strip("`") for row in rows(text) if row[0].startswith("`")]


# --- README and CONTRIBUTING ------------------------------------------------------------------------------------------


def test_the_readme_is_under_nine_hundred_words() -> None:
    assert len(README.split()) < 900


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_a_document_names_exists(path: Path) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text("utf-8"), re.MULTILINE))
    assert named <= targets()


def test_the_readme_gives_the_two_commands() -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"run", "test", "help", "package", "deploy"} <= named


def test_make_help_tells_of_every_target() -> None:
    told = set(re.findall(r"make ([a-z-]+)", section_of_makefile("help")))
    assert told == targets()


def section_of_makefile(target: str) -> str:
    """The recipe of a target."""
    return (ROOT / "Makefile").read_text().split(f"\n{target}:", 1)[1].split("\n\n", 1)[0]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_links_to_exists(path: Path) -> None:
    links = re.findall(r"\]\(((?!http|#)[^)]+)\)", path.read_text("utf-8"))
    assert [link for link in links if not (path.parent / link.split("#")[0]).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_that_a_document_names_exists(path: Path) -> None:
    """`chalicelib/queue/claim.py`, or `queue/claim.py`; a name in angle brackets is a place to fill in."""
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", path.read_text("utf-8"))
    roots = (ROOT, ROOT / "chalicelib", ROOT / "chalicelib" / "core", path.parent)
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []


# --- reference --------------------------------------------------------------------------------------------------------


def test_every_setting_stands_in_the_reference_with_its_default() -> None:
    told = {
        row[0].strip("`"): row[1].strip("`") for row in rows((ROOT / "docs/reference/settings.md").read_text("utf-8"))
    }
    plain = {"": {"", "empty"}, "{}": {"{}"}, "()": {"empty"}}
    for item in fields(Settings):
        default = str(getattr(Settings(), item.name))
        assert told[variable(item.name)] in plain.get(default, {default}), item.name


def test_every_route_stands_in_the_reference_with_its_role() -> None:
    told = {row[0].strip("`"): row[1] for row in rows(section("reference/roles.md", "## Routes")) if "`" in row[0]}
    assert told == {f"{method} {path}": role.value if role else "none needed" for (method, path), role in ROLES.items()}


def test_every_error_code_stands_in_the_reference_with_its_status() -> None:
    told = {
        row[0].strip("`"): int(row[1]) for row in rows((ROOT / "docs/reference/errors.md").read_text()) if "`" in row[0]
    }
    assert told == codes()


@pytest.mark.parametrize("kind", SOURCES)
def test_the_guide_has_each_setting_of_a_source(kind: str) -> None:
    guide = (ROOT / "docs" / "guides" / "tasks.md").read_text("utf-8").split(f"| setting of `{kind}` |", 1)[1]
    table = guide.split("\n\n", 1)[0]
    told = {name for row in rows(table) for name in re.findall(r"`(\w+)`", row[0])}
    assert told == set(settings_models()[kind].model_fields)


# --- glossary ---------------------------------------------------------------------------------------------------------


def enums() -> dict[str, list[str]]:
    """The schemas of the API that are nothing but a choice of values."""
    schemas: dict[str, dict[str, Any]] = openapi.document()["components"]["schemas"]
    return {name: schema["enum"] for name, schema in schemas.items() if "enum" in schema}


@pytest.mark.parametrize("name", enums())
def test_the_glossary_explains_each_value_of_the_api(name: str) -> None:
    assert first_cells(section("glossary.md", f"### {name}")) == enums()[name]


def test_the_glossary_explains_no_value_that_the_api_does_not_have() -> None:
    assert set(re.findall(r"^### (\w+)", section("glossary.md", "## Values"), re.MULTILINE)) == set(enums())


def test_the_glossary_explains_each_package() -> None:
    assert sorted(first_cells(section("glossary.md", "## Packages"))) == sorted(["core", *ALLOWED])


# --- architecture -----------------------------------------------------------------------------------------------------


def test_the_picture_of_the_house_is_what_the_code_imports() -> None:
    """`python -m tests.support.house` draws it anew."""
    found = HOUSE.search(ARCHITECTURE.read_text("utf-8"))
    assert found is not None
    assert found[2] == picture() + "\n"


def test_the_index_of_decisions_lists_each() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{3}-[a-z-]+\.md)\)", (folder / "README.md").read_text("utf-8"))
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))
