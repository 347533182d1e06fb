"""What a soak did, line by line: the proof compares it with what the API tells."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Diary:
    """JSON Lines: {"act", "asked", "answered", …}; instants in UTC. `asked` and `answered` enclose the act's effect."""

    def __init__(self, path: Path):
        self.path = path
        self.lock = threading.Lock()

    def note(self, act: str, *, asked: datetime, **facts: Any) -> None:
        line = {"act": act, "asked": asked.isoformat(), "answered": datetime.now(UTC).isoformat(), **facts}
        with self.lock, self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            found = json.loads(line)
            for name in ("asked", "answered", "since"):
                if name in found:
                    found[name] = datetime.fromisoformat(found[name])
            yield found
