"""When a schedule fires, told anew: the proof asks this module, which knows nothing of Carillon's own code.

It knows the schedules that a soak makes, and no others: it looks at each second of the time asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

SECOND = timedelta(seconds=1)
LAST = {"second": 59, "minute": 59, "hour": 23}


def fires(schedule: dict[str, Any], begin: datetime, end: datetime) -> Iterator[datetime]:
    """Each fire in [begin, end], in UTC. `begin` and `end` are aware."""
    at = begin.astimezone(UTC).replace(microsecond=0)
    if at < begin:
        at += SECOND
    while at <= end:
        if _fires_at(schedule, at):
            yield at
        at += SECOND


def _fires_at(schedule: dict[str, Any], at: datetime) -> bool:
    local = at.astimezone(ZoneInfo(schedule.get("timezone") or "UTC"))
    if schedule["type"] == "once":
        return local.strftime("%Y-%m-%dT%H:%M:%S") == schedule["at"]
    if schedule["type"] == "calendar":
        return local.timetz().replace(tzinfo=None) == time.fromisoformat(schedule["at"])
    if schedule["type"] == "interval":
        step = schedule["every"] * {"second": 1, "minute": 60}[schedule["unit"]]
        elapsed = (at - datetime.fromisoformat(schedule["start"])).total_seconds()
        return elapsed >= 0 and elapsed % step == 0
    if schedule["type"] == "cron":
        fields = schedule["expression"].split()
        second, minute, hour, *days = fields if len(fields) == 6 else ["0", *fields]
        assert days == ["*", "*", "*"], "a soak restricts no days"
        read = {"second": (second, local.second), "minute": (minute, local.minute), "hour": (hour, local.hour)}
        return all(_matches(text, value, LAST[name]) for name, (text, value) in read.items())
    # `now` fires when the task is saved, an instant that only the answer tells.
    return False


def _matches(text: str, value: int, last: int) -> bool:
    for part in text.split(","):
        span, _, step = part.partition("/")
        low, _, high = ("0", "", str(last)) if span == "*" else span.partition("-")
        top = int(high) if high else last if step else int(low)
        if int(low) <= value <= top and (value - int(low)) % int(step or 1) == 0:
            return True
    return False
