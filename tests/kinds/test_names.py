"""Only its own folder names a kind, a source or a format: all other code asks the registry."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from chalicelib.exports.formats.registry import FORMATS
from chalicelib.kinds.registry import KINDS
from chalicelib.sources.registry import SOURCES

ROOT = Path(__file__).parents[2]
PRODUCT = [*sorted((ROOT / "chalicelib").rglob("*.py")), ROOT / "app.py"]


def outside(folder: str) -> list[Path]:
    return [path for path in PRODUCT if (ROOT / "chalicelib" / folder) not in path.parents]


@pytest.mark.parametrize(("folder", "names"), [("kinds", set(KINDS)), ("sources", set(SOURCES))])
def test_nothing_outside_names_a_kind_or_a_source(folder: str, names: set[str]) -> None:
    """In code, in a message or in a comment."""
    word = re.compile("|".join(sorted(names)), re.IGNORECASE)
    assert [str(path.relative_to(ROOT)) for path in outside(folder) if word.search(path.read_text())] == []


def test_nothing_outside_names_a_format() -> None:
    """Sources hand out CSV too, and a spec has a field `csv`: only a text that is the name and nothing else counts."""
    named = [
        str(path.relative_to(ROOT))
        for path in outside("exports/formats")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in FORMATS
    ]
    assert named == []
