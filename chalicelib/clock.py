"""The only module that reads the clock. Rules and use cases take `now` as an argument; their callers read it here."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(tz=UTC)


def monotonic() -> float:
    """Seconds on a clock that is never set back: the difference of two readings is a duration."""
    return time.monotonic()


def pause(longest: float) -> None:
    """Wait up to so many seconds between two tries of a call, each caller another time."""
    time.sleep(random.uniform(0, longest))  # noqa: S311 - spreads callers, hides nothing


@dataclass(frozen=True)
class Clock:
    """The clock of a worker, which tests replace."""

    now: Callable[[], datetime] = now
    sleep: Callable[[float], None] = time.sleep
