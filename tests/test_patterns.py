"""Every regular expression of the product: where it stands, and that no text makes it slow."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.regex_steps import TooMany, pumps, steps
from tests.test_boundaries import PRODUCT, ROOT

# What makes the last of a text's characters fail, after all before it were accepted.
ENDS = ("", "\x00", "-", "a", "é")
ONCE, MORE = 40, 160
# Four times the text may take four times the steps, and a few for the beginning and the end.
MOST = 4.5
# Far above what any linear pattern takes for the longer text.
LIMIT = 200_000


@dataclass(frozen=True, order=True)
class Use:
    """One pattern, and how it is used: `fullmatch`, `match`, or as a search (`search`, `sub`, `findall`, …)."""

    place: str
    pattern: str
    flags: int
    method: str


def uses() -> Iterator[Use]:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PRODUCT}
    methods: dict[str, set[str]] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            # A pattern's name says where it is used; a method that is only named, as in `map(P.match, …)`, counts too.
            if isinstance(node, ast.Attribute) and node.attr in METHODS:
                methods.setdefault(ast.unparse(node.value).rpartition(".")[2], set()).add(node.attr)
    for path, tree in trees.items():
        names = {
            id(node.value): ast.unparse(node.targets[0]) for node in ast.walk(tree) if isinstance(node, ast.Assign)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).startswith("re."):
                continue
            called = ast.unparse(node.func).removeprefix("re.")
            if called == "escape":
                continue
            place = f"{path.relative_to(ROOT)}:{node.lineno}"
            assert isinstance(node.args[0], ast.Constant), f"{place}: the pattern must stand there as text"
            flags = re.RegexFlag(0)
            for flag in re.findall(r"re\.([A-Z]+)", ast.unparse(node)):
                flags |= re.RegexFlag[flag]
            how = methods.get(names.get(id(node), ""), METHODS) if called == "compile" else {called}
            for method in how:
                yield Use(place, str(node.args[0].value), int(flags), method)


METHODS = frozenset({"match", "fullmatch", "search", "sub", "findall", "finditer", "split"})
USES = sorted(uses())


def growth(pattern: str, flags: int, method: str) -> float:
    """The largest growth of the steps between a text and one of four times its length; infinite past the limit."""
    worst = 0.0
    for before, repeated in {*pumps(pattern, flags)}:
        for end in ENDS:
            try:
                once, more = (
                    steps(pattern, flags, before + repeated * count + end, limit=LIMIT, method=method)
                    for count in (ONCE, MORE)
                )
            except TooMany:
                return float("inf")
            worst = max(worst, more / once)
    return worst


def test_the_patterns_of_the_product_are_found() -> None:
    assert len({use.place for use in USES}) > 40
    assert {"match", "fullmatch", "search"} <= {use.method for use in USES}


@pytest.mark.parametrize("use", USES, ids=[f"{use.place} {use.method}" for use in USES])
def test_a_pattern_takes_steps_in_proportion_to_its_text(use: Use) -> None:
    assert growth(use.pattern, use.flags, use.method) <= MOST, use


def test_no_model_hands_its_patterns_to_python_s_engine() -> None:
    """pydantic's own engine is linear by construction; `python-re` is not."""
    assert not [path for path in PRODUCT if "regex_engine" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:a|--[^\n]*)*[\n]",  # two dashes are one comment or two: exponential
        r"(a+)+",
        r"\s*\d+\s*\s*x",
        r".*a.*b",
        r"(?:a*)*?b",
    ],
)
def test_a_slow_pattern_is_found(pattern: str) -> None:
    assert max(growth(pattern, 0, method) for method in ("match", "fullmatch", "search")) > MOST


@pytest.mark.parametrize(
    "pattern", [r"(?>a+)b", r"(?:a++|b)*+c", r"[ab]*c", r"a{1,5}b|c(?=d)", r"(\d{1,9})-(\d{1,12})"]
)
def test_a_fast_pattern_is_not(pattern: str) -> None:
    assert max(growth(pattern, 0, method) for method in ("match", "fullmatch")) <= MOST
