"""The rules of the house: which way imports point, what a cold start loads, where every exception is caught."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.house import ALLOWED, MODULES, allowed, arrows, circle, imports_of, longest_chain, package_of

ROOT = Path(__file__).parent.parent
PRODUCT = sorted((ROOT / "chalicelib").rglob("*.py"))

HEAVY = {"pandas", "numpy", "sqlalchemy", "psycopg2", "sqlite3", "isal", "croniter", "jwt", "cryptography"}


def test_every_package_and_every_ground_module_is_in_the_table() -> None:
    """A new folder needs a row that says what it may import; a module at the root has to be one of the ground's."""
    assert {package_of(module) for module in MODULES} - {"chalicelib"} == {"ground", "core", *ALLOWED, "app"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_are_those_that_the_table_allows(module: str) -> None:
    wrong = {name for name in imports_of(module) if not allowed(module, name)}
    assert not wrong, f"{module} may not import {', '.join(sorted(wrong))}"


# Each breaks another rule of the table.
FORBIDDEN = [
    ("chalicelib.core.rank", "chalicelib.settings"),  # core imports errors alone
    ("chalicelib.store.jobs", "chalicelib.aws.sqs"),  # store imports no other package
    ("chalicelib.queue.completion", "chalicelib.worker.metering"),  # an import that runs up
    ("chalicelib.sources.sql", "chalicelib.exports.manifest"),  # sources know no exports
    ("chalicelib.kinds.report_export.kind", "chalicelib.store.jobs"),  # of a kind, wiring alone
    ("chalicelib.api.views.jobs", "chalicelib.worker.worker"),  # the API runs no job
    ("chalicelib.api.views.jobs", "chalicelib.storage.upload"),  # and writes no object
    ("chalicelib.api.models.tasks", "chalicelib.kinds.report_export.spec"),  # only its registry knows a plug-in
    ("chalicelib.exports.pipeline", "chalicelib.sources.postgres.source"),
    ("chalicelib.paging", "chalicelib.store.base"),  # the ground imports core and itself
    ("chalicelib.errors", "chalicelib.core.lifecycle"),  # the errors import nothing: core stands on them
]


@pytest.mark.parametrize(("module", "name"), FORBIDDEN)
def test_a_forbidden_import_is_not_allowed(module: str, name: str) -> None:
    assert {module, name} <= MODULES.keys()
    assert not allowed(module, name)


def test_a_folder_that_is_not_in_the_table_may_import_nothing() -> None:
    assert package_of("chalicelib.delivery.mail") not in ALLOWED
    assert not allowed("chalicelib.delivery.mail", "chalicelib.store.jobs")


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle({module: imports_of(module) for module in MODULES}) == []


def test_at_most_ten_packages_import_each_other_in_a_chain() -> None:
    assert len(longest_chain(arrows())) <= 10


def test_the_app_imports_the_api_alone_until_a_handler_runs() -> None:
    assert {package_of(name) for name in imports_of("app", top_level_only=True)} <= {"api", "chalicelib"}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize(
    "path", [path for path in PRODUCT if "core" in path.parts], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_core_knows_no_aws_and_reads_no_clock(path: Path) -> None:
    outside = {name.split(".")[0] for name in imported(path)}
    assert not outside & {"boto3", "botocore", "pynamodb", "chalice"}
    assert not re.search(r"\.(now|today|utcnow)\(|time\.time\(", path.read_text())


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_clock_reads_the_clock(path: Path) -> None:
    if path == ROOT / "chalicelib" / "clock.py":
        return
    assert "time" not in imported(path)
    assert not re.search(r"\bdatetime\.now\(|\.(utcnow|today)\(|\btime\.time\(", path.read_text())


def defined_in(module: str) -> set[str]:
    """The names that a module defines itself, at its top."""
    found: set[str] = set()
    for node in ast.parse(MODULES[module].read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        else:
            names = (each for each in ast.walk(node) if isinstance(each, ast.Name))
            found |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return found


def test_names_are_imported_from_where_they_are_defined() -> None:
    """No module re-exports what it imported, and none keeps an `__all__`."""
    wrong = []
    for path in [ROOT / "app.py", *PRODUCT, *sorted((ROOT / "tests").rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in MODULES:
                names = {alias.name for alias in node.names if f"{node.module}.{alias.name}" not in MODULES}
                wrong += [f"{path.relative_to(ROOT)}: {node.module}.{name}" for name in names - defined_in(node.module)]
    assert wrong == []
    assert [str(path.relative_to(ROOT)) for path in PRODUCT if "__all__" in path.read_text()] == []


def test_importing_the_app_loads_nothing_heavy() -> None:
    script = "import sys, app; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


# Each with its reason: the worker turns any failure of a kind into a failed run; an HTTP caller gets an answer to every
# error; what interrupts a statement from another thread has no caller to raise to; what is done apart raises on the
# thread that waits for it; and a claim that fails for the job's own sake is counted against that job.
CATCH_ALLS = {
    "chalicelib/worker/worker.py",
    "chalicelib/api/blueprint.py",
    "chalicelib/sources/postgres/source.py",
    "chalicelib/sources/stopping.py",
    "chalicelib/queue/claim.py",
}


def test_every_exception_is_caught_in_few_places() -> None:
    """Undoing what was half done and raising on is no catching."""
    found = set()
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and not isinstance(node.body[-1], ast.Raise):
                names = {"" if node.type is None else ast.unparse(node.type)}
                if names & {"", "Exception", "BaseException"}:
                    found.add(str(path.relative_to(ROOT)))
    assert found <= CATCH_ALLS


def test_no_file_names_a_path_of_a_developers_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    place = re.compile(r"/(?:home/[a-z]+|root|Users/[a-z]+)/")
    named = [
        name
        for name in listed
        if (ROOT / name).suffix in {".py", ".md", ".json", ".toml", ".txt", ""}
        and (ROOT / name).is_file()
        and place.search((ROOT / name).read_text(errors="replace"))
    ]
    assert named == []
