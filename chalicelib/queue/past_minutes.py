"""What a worker's process remembers from one token to the next: the queues of past minutes that hold no job any more.

A late token reads the queues of the last minutes (`core/queue_keys.py`), and in a burst nearly every token is late.
Once a minute is past, no job enters its queue: a process that found it empty need not read it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chalicelib.core.queue_keys import LOOK_BACK, MINUTE, minute_of_key

# From the end of a minute: a slow tick puts a job into the queue of a minute that is just over, and the index lags. A
# job that comes later yet is found by its own token, and by `sweep`.
SETTLED_AFTER = timedelta(seconds=10)
# What is older than this is read by no token.
FORGOTTEN_AFTER = LOOK_BACK + 2 * MINUTE


@dataclass
class PastMinutes:
    """Belongs to one process. A new one knows nothing: its process reads each queue once."""

    _empty: dict[str, datetime] = field(default_factory=dict)

    def left_to_read(self, queue_keys: Sequence[str]) -> list[str]:
        """These queues without those that were found empty."""
        return [key for key in queue_keys if key not in self._empty]

    def found_none(self, queue_key: str, *, now: datetime) -> None:
        """Remember that this queue held no job that is due `now`, if its minute is over."""
        minute = minute_of_key(queue_key)
        if minute is not None and now >= minute + MINUTE + SETTLED_AFTER:
            self._empty = {key: at for key, at in self._empty.items() if now - at < FORGOTTEN_AFTER}
            self._empty[queue_key] = minute
