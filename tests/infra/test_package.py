from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from chalicelib.sources import trust
from infra import archives, package

TEXT = "VALUE = 1\n"


def an_archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(name, TEXT)
    return path


def test_modules_are_compiled_so_that_lambda_need_not_look_at_dates(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "code.zip", "app.py")
    archives.prepare(archive, tmp_path / "unpacked")
    with zipfile.ZipFile(archive) as packed:
        (compiled,) = [name for name in packed.namelist() if name.endswith(".pyc")]
        # PEP 552: bit 0 says hash-based, bit 1 would ask for a check of the source.
        assert packed.read(compiled)[4:8] == b"\x01\x00\x00\x00"


def test_the_package_leaves_out_what_lambda_does_not_need(tmp_path: Path) -> None:
    packages = "python/lib/python3.13/site-packages"
    names = [
        f"{packages}/{name}" for name in ("pip/a.py", "pip-1.dist-info/METADATA", "thing/tests/a.py", "thing/b.py")
    ]
    archive = an_archive(tmp_path / "layer.zip", *names, f"{packages}/thing-1.dist-info/METADATA")
    archives.prepare(archive, tmp_path / "unpacked")
    with zipfile.ZipFile(archive) as packed:
        kept = {name.removeprefix(f"{packages}/") for name in packed.namelist()}
    assert {name for name in kept if "__pycache__" not in name} == {"thing/b.py", "thing-1.dist-info/METADATA"}


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    made = []
    for number in (1, 2):
        archive = an_archive(tmp_path / f"{number}.zip", *(["app.py", "b.py"] if number == 1 else ["b.py", "app.py"]))
        archives.prepare(archive, tmp_path / f"unpacked{number}")
        made.append(archive.read_bytes())
    assert made[0] == made[1]


def test_the_unpacked_size_is_what_counts(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "code.zip", "data.bin")
    assert archives.prepare(archive, tmp_path / "unpacked") == len(TEXT)


def test_a_package_over_the_limit_is_refused_with_both_figures() -> None:
    archives.check(archives.LIMIT_BYTES)
    with pytest.raises(archives.TooLarge, match=r"300\.0 MB unpacked; Lambda takes 250\.0 MB"):
        archives.check(300 * 1024 * 1024)


def test_what_chalice_cannot_package_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()

    def fail(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, stdout="no such handler", stderr="")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(package.PackageProblem, match="no such handler"):
        package.run_chalice(project, "test", tmp_path / "out")


def test_without_a_python_of_lambda_the_error_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(package.PackageProblem, match=r"python3\.13 or python3\.12 or python3\.11"):
        package.interpreter()


def a_python(folder: Path, name: str, version: str) -> None:
    """A program that answers as a Python of this version."""
    program = folder / name
    program.write_text(f"#!/bin/sh\necho {version}\n", encoding="utf-8")
    program.chmod(0o755)


def test_the_python_that_is_asked_for_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_python(tmp_path, "python3.13", "3 13")
    a_python(tmp_path, "mine", "3 11")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert package.interpreter("mine") == tmp_path / "mine"
    assert package.interpreter() == tmp_path / "python3.13"


@pytest.mark.parametrize("version", ["3 10", "3 99"])
def test_a_python_that_is_no_runtime_of_lambda_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str
) -> None:
    a_python(tmp_path, "mine", version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(package.PackageProblem, match="mine cannot package"):
        package.interpreter("mine")


def test_python_3_11_alone_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on Debian 12."""
    a_python(tmp_path, "python3.11", "3 11")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert package.interpreter() == tmp_path / "python3.11"


def test_a_stage_of_any_name_is_packaged_like_prod(tmp_path: Path) -> None:
    package.lay_out(tmp_path / "project", "qa")
    laid = json.loads((tmp_path / "project" / ".chalice" / "config.json").read_text(encoding="utf-8"))
    own = json.loads((package.ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    assert laid["stages"] == {"qa": own["stages"]["prod"]}


def test_the_package_holds_the_projects_own_code_only(packaged: Path) -> None:
    (archive,) = packaged.glob("*.zip")
    with zipfile.ZipFile(archive) as packed:
        assert {name.partition("/")[0] for name in packed.namelist()} == {"app.py", "chalicelib", "chalice"}
        # The authorities without which no server of a source can prove who it is.
        own = str(trust.AWS_DATABASES.relative_to(package.ROOT))
        assert packed.read(own) == trust.AWS_DATABASES.read_bytes()


def test_help_names_the_stage() -> None:
    done = subprocess.run([sys.executable, "-m", "infra.package"], cwd=package.ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--stage" in done.stderr
