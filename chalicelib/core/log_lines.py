"""A line of a run's log, and the forms it takes: JSON for programs, text for people."""

from __future__ import annotations

import json
from dataclasses import dataclass

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
# What the alert view shows.
ALERTS = frozenset({"WARN", "ERROR"})


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True)
class LogLine:
    """One line; `sequence` counts from 1 within its run, without a gap. `time` is RFC 3339 text."""

    sequence: int
    time: str
    level: str
    type: str
    message: str
    # The key of an object that shows what the line speaks of, e.g. a robot's screenshot.
    picture: str | None = None


def as_json(line: LogLine) -> str:
    return _encode(vars(line))


def from_json(text: bytes | str) -> LogLine:
    return LogLine(**json.loads(text))


def as_text(line: LogLine) -> str:
    """One line as a person reads it; what follows a line break of the message is indented below its first line."""
    message = "\n    ".join(line.message.splitlines())
    picture = f" (picture: {line.picture})" if line.picture else ""
    return f"{line.time:<24} {line.level:<5} {line.type:<8} {message}{picture}"
