"""Schedules as a caller writes them. Makers take overrides only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 5, 1, 10, 30, 15, 999, tzinfo=UTC)


NEW_YORK = "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def daily(**over: Any) -> dict[str, Any]:
    return {"type": "calendar", "every": 1, "unit": "day", "at": "02:00:00", "timezone": "Asia/Shanghai", **over}


def cron(expression: str, **over: Any) -> dict[str, Any]:
    return {"type": "cron", "expression": expression, **over}


ONCE = {"type": "once", "at": "2026-06-01T10:00:00"}


INTERVAL = {"type": "interval", "every": 15, "unit": "minute"}
