"""Jitter: a delay that spreads tasks that are due in the same second. A slot always gets the same delay.

Only the start of the work is delayed. Window, misfire and the schedule's bounds use the slot itself.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from chalicelib.core.local_time import aware_utc, epoch_seconds


def jitter(task_id: str, fire: datetime, next_fire: datetime | None, max_seconds: int) -> int:
    """Whole seconds of delay, at least 0, less than `max_seconds` and less than the time to the next fire."""
    at = aware_utc(fire, field="fire")
    bound = max_seconds
    if next_fire is not None:
        bound = min(bound, (aware_utc(next_fire, field="next_fire") - at) // timedelta(seconds=1))
    if bound <= 0:
        return 0
    digest = hashlib.sha256(f"{task_id}|{epoch_seconds(at)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") * bound >> 64  # floor(u * bound), u in [0, 1)
