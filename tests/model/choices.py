"""What the model draws from: schedules, policies, edits, jumps of the clock, moments to die at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from tests.model.aws import Aws

SCHEDULES: dict[str, Callable[[Aws], dict[str, Any]]] = {
    "now": lambda aws: {"type": "now"},
    "each minute, six times": lambda aws: {"type": "cron", "expression": "* * * * *", "end": _text(aws, minutes=6)},
    "twice an hour": lambda aws: {"type": "cron", "expression": "*/30 * * * *"},
    "daily": lambda aws: {
        "type": "calendar", "every": 1, "unit": "day", "at": "17:02:00", "timezone": "Asia/Shanghai",
    },
    "once": lambda aws: {"type": "once", "at": _text(aws, minutes=1)},
    "by interval": lambda aws: {"type": "interval", "every": 50, "unit": "minute"},
    "on working days": lambda aws: {"type": "cron", "expression": "*/40 */3 * * *", "on_non_business": "skip"},
}  # fmt: skip

RETRIES: list[dict[str, Any]] = [
    {},
    {"max_attempts": 3, "delay_seconds": 0},
    {"max_attempts": 2, "delay_seconds": 90},
    {"max_attempts": 3, "delay_seconds": 600, "backoff": "exponential", "max_delay_seconds": 3600},
]

CLOCKS: list[dict[str, Any]] = [
    {},
    {"queue_wait_limit_seconds": 120},
    {"deadline_seconds": 600},
    {"queue_wait_limit_seconds": 3600, "deadline_seconds": 1800},
]

OVERLAPS = ["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"]

UNION = {"policy": "fire_once", "union": True}
MISFIRES: list[Any] = ["fire_once", "skip", "catch_up", UNION]

SINCE = {"type": "since_previous_fire"}
WINDOWS: list[dict[str, Any] | None] = [None, SINCE, SINCE]

DELETE: dict[str, Any] = {"delete": True}

EDITS: list[dict[str, Any]] = [
    {"description": "edited"},
    {"schedule": {"type": "cron", "expression": "*/20 8-10 * * *"}},
    {"priority": 4000},
    {"overlap": "allow_all", "retry": {"max_attempts": 2}},
    {"enabled": False},
    {"enabled": True},
    DELETE,
]

JUMPS = [1, 20, 60, 61, 90, 300, 960, 3_700, 30_000, 90_000, 400_000]

# A process may stop before or after any of so many calls; most steps make fewer than thirty.
MOMENTS = st.integers(1, 60)

# None: the process lives to its end.
DEATH = st.one_of(st.none(), st.none(), MOMENTS)

STOP = st.one_of(st.none(), MOMENTS)

PICK = st.integers(0, 11)

TASK = st.fixed_dictionaries(
    {
        "schedule": st.sampled_from(sorted(SCHEDULES)), "retry": st.sampled_from(RETRIES),
        "clocks": st.sampled_from(CLOCKS), "overlap": st.sampled_from(OVERLAPS), "misfire": st.sampled_from(MISFIRES),
        "window": st.sampled_from(WINDOWS),
    }
)  # fmt: skip


def _text(aws: Aws, **later: float) -> str:
    return f"{aws.now + timedelta(**later):%Y-%m-%dT%H:%M:%S}"
