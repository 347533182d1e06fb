"""A line of a run's log, as JSON for programs and as text for people."""

from __future__ import annotations

import json
from dataclasses import dataclass

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
# The levels of alerts.
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
    # The key of an object that illustrates the line, e.g. a robot's screenshot.
    picture: str | None = None


def as_json(line: LogLine) -> str:
    return _encode(vars(line))


def from_json(text: bytes | str) -> LogLine:
    return LogLine(**json.loads(text))


def as_text(line: LogLine) -> str:
    """The line for people; further lines of the message are indented below the first."""
    message = "\n    ".join(line.message.splitlines())
    picture = f" (picture: {line.picture})" if line.picture else ""
    return f"{line.time:<24} {line.level:<5} {line.type:<8} {message}{picture}"
