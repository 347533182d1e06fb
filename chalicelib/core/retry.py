"""Retry: whether another attempt follows a failed one, and after which delay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from chalicelib.core.fields import known_keys, one_of, whole
from chalicelib.errors import Invalid

MAX_ATTEMPTS = 32
# For a longer delay a task has a schedule.
LONGEST_DELAY_SECONDS = 86_400


class Backoff(StrEnum):
    FIXED = "fixed"
    EXPONENTIAL = "exponential"  # doubles after each attempt, up to max_delay_seconds


@dataclass(frozen=True, slots=True)
class Retry:
    max_attempts: int = 1
    delay_seconds: int = 60
    backoff: Backoff = Backoff.FIXED
    max_delay_seconds: int = 3600

    @classmethod
    def accept(cls, value: Mapping[str, Any] | None) -> Retry:
        """From `{max_attempts 1..32, delay_seconds, backoff: fixed|exponential, max_delay_seconds}`; None: defaults."""
        if value is not None and not isinstance(value, Mapping):
            raise Invalid("An object is needed.", field="retry")
        given = {key: item for key, item in (value or {}).items() if item is not None}
        known_keys(given, cls.__dataclass_fields__, prefix="retry", what="retry", error=Invalid)
        backoff = Backoff(one_of(given.get("backoff", Backoff.FIXED), Backoff, field="retry.backoff", error=Invalid))
        delay = _whole(given, "delay_seconds", 60, 0, LONGEST_DELAY_SECONDS)
        longest = _whole(given, "max_delay_seconds", max(3600, delay), 0, LONGEST_DELAY_SECONDS)
        if longest < delay:
            raise Invalid("The longest delay is shorter than the first.", field="retry.max_delay_seconds")
        return cls(_whole(given, "max_attempts", 1, 1, MAX_ATTEMPTS), delay, backoff, longest)

    def as_json(self) -> dict[str, Any]:
        return {
            "max_attempts": self.max_attempts,
            "delay_seconds": self.delay_seconds,
            "backoff": str(self.backoff),
            "max_delay_seconds": self.max_delay_seconds,
        }


def delay_after(retry: Retry, attempts_spent: int) -> timedelta:
    """How long to wait after that many attempts (1 or more) before the next."""
    if attempts_spent < 1:
        raise ValueError("there is no delay before the first attempt")
    if retry.backoff is Backoff.FIXED:
        return timedelta(seconds=retry.delay_seconds)
    doubled = retry.delay_seconds * 2 ** min(attempts_spent - 1, MAX_ATTEMPTS)
    return timedelta(seconds=min(doubled, retry.max_delay_seconds))


def decide(retry: Retry, *, attempts_spent: int, permanent: bool) -> timedelta | None:
    """The delay before the next attempt; None when the error is permanent or no attempts are left."""
    if permanent or attempts_spent >= retry.max_attempts:
        return None
    return delay_after(retry, attempts_spent)


def _whole(given: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    return whole(given.get(key, default), low=low, high=high, field=f"retry.{key}", error=Invalid)
