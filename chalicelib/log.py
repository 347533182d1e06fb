"""The service's log: one JSON line per event on standard output, which Lambda sends to its log group.

A line is one sentence plus fields. It never holds a secret, a presigned link or a row of data.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

from chalicelib import clock
from chalicelib.core.instants import rfc3339
from chalicelib.masking import masked

# One process works on one request or event at a time, with several threads: what they all do, they do for this one.
_correlation: list[str | None] = [None]


def correlate(correlation_id: str | None) -> None:
    """From now on each line carries this id: of the request, or of the event that started the function."""
    _correlation[0] = correlation_id


def correlation_id() -> str | None:
    return _correlation[0]


def event(message: str, *, level: str = "INFO", **fields: Any) -> None:
    """`log.event("A job was fired", job_id=…, task_id=…)`."""
    line = {"time": rfc3339(clock.now()), "level": level, "message": message, **masked(fields)}
    if _correlation[0] is not None:
        line.setdefault("correlation_id", _correlation[0])
    sys.stdout.write(json.dumps(line, ensure_ascii=False, default=_plain, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def error(message: str, **fields: Any) -> None:
    event(message, level="ERROR", **fields)


def _plain(value: object) -> str:
    return rfc3339(value) if isinstance(value, datetime) and value.tzinfo else str(value)
