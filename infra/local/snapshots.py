"""The emulator's state on disk: whole snapshots, so that a kill loses seconds and never half a state.

services/<name>.json     the state of one service, as the emulator reads it when it starts
services/snapshot.json   the instant of those files, and whether the stack was stopped or still ran
services/new/            a snapshot that is being written; `complete` marks that all of its files are there

A snapshot is written beside the last one and then moved over it file by file. `recover` ends a move that a kill cut
short and deletes a snapshot that was not complete, so the files of one start always belong to one instant.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

NEW = "new"
COMPLETE = "complete"
ABOUT = "snapshot.json"


@dataclass(frozen=True)
class Snapshot:
    """What a stack goes on from: an instant in UTC, and whether the stack was stopped in order then."""

    at: datetime
    stopped: bool


def write(folder: Path, files: Mapping[str, bytes], about: Snapshot) -> None:
    """Replace the snapshot in a folder by these files (name of the service -> content); all of them or none."""
    new = folder / NEW
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, content in files.items():
        _write_through(new / f"{name}.json", content)
    _write_through(new / ABOUT, _text(about))
    _write_through(new / COMPLETE, b"")
    _move(folder)


def recover(folder: Path) -> Snapshot | None:
    """Bring the folder to its last complete snapshot, and answer which; None where the stack never ran."""
    new = folder / NEW
    if (new / COMPLETE).exists():
        _move(folder)
    shutil.rmtree(new, ignore_errors=True)
    try:
        told = json.loads((folder / ABOUT).read_text("utf-8"))
    except FileNotFoundError:
        # The folder of an earlier release: the emulator wrote it when it stopped.
        written = [each.stat().st_mtime for each in folder.glob("*.json")]
        return Snapshot(datetime.fromtimestamp(max(written), UTC), stopped=True) if written else None
    return Snapshot(datetime.fromisoformat(told["at"]), told["stopped"])


def mark_running(folder: Path, snapshot: Snapshot) -> None:
    """Write down that a stack runs on this snapshot: from now on a kill loses what came after it."""
    new = folder / f"{ABOUT}.new"
    _write_through(new, _text(Snapshot(snapshot.at, stopped=False)))
    new.replace(folder / ABOUT)


def _move(folder: Path) -> None:
    new = folder / NEW
    for each in sorted(new.glob("*.json")):
        each.replace(folder / each.name)
    (new / COMPLETE).unlink()
    new.rmdir()


def _text(about: Snapshot) -> bytes:
    return json.dumps({"at": about.at.isoformat(), "stopped": about.stopped}).encode()


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
