"""The archives that Lambda unpacks: trimmed, compiled and packed so that the same content gives the same bytes."""

from __future__ import annotations

import compileall
import hashlib
import py_compile
import shutil
import zipfile
from pathlib import Path

# Lambda's limit for the function's code and its layers together, unpacked.
LIMIT_BYTES = 250 * 1024 * 1024

# The earliest date of a zip file: a fixed date keeps the digest the same on every day.
EPOCH = (1980, 1, 1, 0, 0, 0)

# No import in Lambda reaches these. Metadata stays: packages read their own version from it.
PRUNED_FOLDERS = ("tests", "test", "__pycache__")
PRUNED_PACKAGES = ("pip", "setuptools", "wheel", "_distutils_hack", "pkg_resources")


class TooLarge(Exception):
    """The unpacked package is over Lambda's limit."""


def prepare(archive: Path, folder: Path) -> int:
    """Rewrite an archive of chalice in place: pruned, with its modules compiled. Answers the unpacked size in bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    prune(folder)
    # Unchecked: in Lambda all files have one date, so comparing dates proves nothing and costs each import a stat.
    compileall.compile_dir(
        folder,
        quiet=1,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        stripdir=str(folder),
        prependdir="/var/task" if (folder / "app.py").exists() else "/opt",
    )
    pack(folder, archive)
    return size(folder)


def prune(folder: Path) -> None:
    """Remove what Lambda has no use for. `python/` is where a layer keeps its packages."""
    packages = next((found for found in folder.glob("python/lib/*/site-packages")), folder)
    for name in PRUNED_PACKAGES:
        for found in [packages / name, *packages.glob(f"{name}-*.dist-info")]:
            shutil.rmtree(found, ignore_errors=True)
    for found in sorted(folder.rglob("*"), reverse=True):
        if found.is_dir() and found.name in PRUNED_FOLDERS:
            shutil.rmtree(found)


def pack(folder: Path, archive: Path) -> None:
    """Zip a folder, in the order of names."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o755 << 16 if path.suffix == ".so" else 0o644 << 16
                packed.writestr(entry, path.read_bytes())


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check(total: int) -> None:
    """Refuse a package that Lambda would refuse, before it is uploaded."""
    if total > LIMIT_BYTES:
        raise TooLarge(f"the package is {megabytes(total)} unpacked; Lambda takes {megabytes(LIMIT_BYTES)}")


def megabytes(count: int) -> str:
    return f"{count / 1024 / 1024:.1f} MB"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
