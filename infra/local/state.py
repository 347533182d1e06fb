"""The folder that a local stack lives in: who holds it, its ports, its credentials.

lock                 held by the runner while it runs
ports.json           the port of links to files, which is the emulator's: links name it, so it stays
credentials.json     base address and one token per role; readable by its owner only
data/                what sqlite sources may read
build/               the package that was deployed last
services/ s3/        the emulator's state; `snapshots` says how services/ is written
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from pathlib import Path
from typing import Any, TextIO

# The emulator writes its state in about a second.
ORPHAN_SECONDS = 20.0


class AlreadyRunning(Exception):
    """Another runner holds this state."""


class UnusableState(Exception):
    """The folder cannot hold a state."""


class State:
    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.build = self.folder / "build"
        self.credentials_file = self.folder / "credentials.json"
        self.ports_file = self.folder / "ports.json"
        self.services = self.folder / "services"

    def hold(self, about: str) -> TextIO:
        """Take the state until the returned file is closed by all who have it: the runner, its emulator, its functions.

        A runner that was killed leaves an emulator that still writes its state; that is waited for. So no worker of an
        earlier start is alive once this returns.
        """
        try:
            if self.folder.is_dir() and any(self.folder.iterdir()) and not (self.folder / "lock").exists():
                raise UnusableState(f"STATE {self.folder} holds other things; give a folder of its own.")
            self.data.mkdir(parents=True, exist_ok=True)
            # The state holds secrets of sources.
            self.folder.chmod(0o700)
            held = (self.folder / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise UnusableState(f"STATE {self.folder} cannot be written to: {error.strerror}") from error
        deadline = time.monotonic() + ORPHAN_SECONDS
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                held.seek(0)
                holder = held.read().strip()
                if is_alive(holder) or time.monotonic() > deadline:
                    held.close()
                    raise AlreadyRunning(f"The stack in {self.folder} is running already: {holder}") from error
                time.sleep(0.1)
        held.truncate(0)
        held.write(about)
        held.flush()
        return held

    @property
    def emulator_port(self) -> int | None:
        try:
            port: int = json.loads(self.ports_file.read_text(encoding="utf-8"))["emulator"]
        except FileNotFoundError:
            return None
        return port

    @emulator_port.setter
    def emulator_port(self, port: int) -> None:
        self.ports_file.write_text(json.dumps({"emulator": port}), encoding="utf-8")

    @property
    def credentials(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self.credentials_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return found

    @credentials.setter
    def credentials(self, given: dict[str, Any]) -> None:
        """Write the file whole and private from its first byte."""
        new = self.credentials_file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(given, file, indent=2)
        new.replace(self.credentials_file)


def is_alive(holder: str) -> bool:
    """Whether the process that a lock names is there."""
    found = re.match(r"process (\d+)", holder)
    try:
        os.kill(int(found.group(1)) if found else 0, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
