"""Jitter: a delay that spreads tasks of one second over time, the same for a slot however often it is asked for.

Only the start of the work moves. Window, misfire and range use the slot itself.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from chalicelib.core.moments import aware, seconds


def jitter(task_id: str, fire: datetime, next_fire: datetime | None, max_seconds: int) -> int:
    """Whole seconds of delay, at least 0, less than `max_seconds` and less than the time to the next fire."""
    at = aware(fire, field="fire")
    bound = max_seconds
    if next_fire is not None:
        bound = min(bound, (aware(next_fire, field="next_fire") - at) // timedelta(seconds=1))
    if bound <= 0:
        return 0
    digest = hashlib.sha256(f"{task_id}|{seconds(at)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") * bound >> 64  # floor(u * bound), u in [0, 1)
