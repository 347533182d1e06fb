"""Rank: the order of waiting jobs in their pool. The lowest rank is claimed first.

    rank = enqueued_at - priority * POINT

One number, fixed when the job is enqueued, gives the order and bounds starvation. Of two jobs whose priorities differ
by d points, the higher one is claimed first exactly when it was enqueued less than d hours after the lower one. So a
job can be overtaken only by jobs enqueued within `(PRIORITY_MAX - its priority) * POINT` after it, at most 5000 hours.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.core.fields import whole
from chalicelib.core.local_time import EPOCH, aware_utc
from chalicelib.errors import Invalid

# The waiting time that one point of priority is worth.
POINT = timedelta(hours=1)
PRIORITY_MIN = 0
PRIORITY_MAX = 5000

_MILLISECOND = timedelta(milliseconds=1)


def accept_priority(value: object, *, field: str = "priority") -> int:
    return whole(value, low=PRIORITY_MIN, high=PRIORITY_MAX, field=field, error=Invalid)


def rank(enqueued_at: datetime, priority: int) -> int:
    """In milliseconds; positive for every instant after 1971."""
    waited_from = aware_utc(enqueued_at, field="enqueued_at") - EPOCH
    return (waited_from - accept_priority(priority) * POINT) // _MILLISECOND
