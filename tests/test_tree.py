"""The tests mirror the tree of the product: a module's tests lie in the folder of its package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.support.house import ROOT

PRODUCT, TESTS = ROOT / "chalicelib", ROOT / "tests"
# Folders whose tests are of no single package.
OF_THE_WHOLE = {
    "bench": "the figures of `make bench`",
    "data": "what tests read",
    "e2e": "the stack of `make run`, called over HTTP",
    "faults": "the process dies at each call to AWS",
    "infra": "the template, the package and the permissions",
    "model": "random histories of the whole",
    "soak": "the stack of `make run` under random acts and kills, and a proof by the API alone",
    "support": "what tests share, and the tests of that",
    "upgrade": "records that older code wrote",
}
# Packages without a folder, and where their tests are.
ELSEWHERE = {
    "access": "the API's tests: tokens, roles and the audit show in its answers only",
    "aws": "the tests of every package that calls AWS: its clients answer from memory there",
    "catalogue": "the API's tests: a record of the catalogue is what the API accepts and answers",
}
# Lines of a file.
LONGEST = 400


def folders(root: Path) -> set[str]:
    return {each.name for each in root.iterdir() if each.is_dir() and each.name != "__pycache__"}


def inner_folders(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        if path.is_dir() and path.name != "__pycache__" and len(path.relative_to(root).parts) > 1:
            yield path.relative_to(root)


def test_every_package_has_its_folder_of_tests() -> None:
    assert folders(PRODUCT) - folders(TESTS) == set(ELSEWHERE)


def test_every_folder_of_tests_is_a_package_or_of_the_whole() -> None:
    assert folders(TESTS) - folders(PRODUCT) == set(OF_THE_WHOLE)


def test_a_folder_inside_is_one_of_the_package() -> None:
    mirrored = [path for path in inner_folders(TESTS) if path.parts[0] not in OF_THE_WHOLE]
    assert [str(path) for path in mirrored if not (PRODUCT / path).is_dir()] == []


def test_no_test_file_is_longer_than_four_hundred_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in TESTS.rglob("*.py")}
    assert {str(path.relative_to(TESTS)): lines for path, lines in lengths.items() if lines > LONGEST} == {}
