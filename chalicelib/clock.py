"""The only place that reads the clock. Use cases take it as an argument; handlers hand this one in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(tz=UTC)


@dataclass(frozen=True)
class Clock:
    """What a worker may do with time."""

    now: Callable[[], datetime] = now
    sleep: Callable[[float], None] = time.sleep
