"""Misfire: whether a slot that `tick` reaches too late still runs.

A slot F is missed when `now > F + grace`. Slots are decided one by one, oldest first, so a tick may stop after any of
them and the next tick continues. Slots in which the task was disabled are no misfires: the caller leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from chalicelib.core.fields import flag, known_keys, one_of, whole
from chalicelib.core.local_time import aware_utc
from chalicelib.errors import Invalid

MAX_CATCHUP_WINDOW_SECONDS = 30 * 86_400
MAX_CATCHUP = 1000


class MisfirePolicy(StrEnum):
    SKIP = "skip"  # every missed slot is recorded as missed
    FIRE_ONCE = "fire_once"  # the latest missed slot runs, the others are recorded
    CATCH_UP = "catch_up"  # every missed slot of the catch-up window runs, oldest first, up to a number


class Verdict(StrEnum):
    ON_TIME = "on_time"
    RUN_LATE = "run_late"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Misfire:
    """`union`: under `fire_once` the slot that runs also covers the windows of the missed slots before it."""

    policy: MisfirePolicy = MisfirePolicy.FIRE_ONCE
    grace_seconds: int = 60
    union: bool = False
    catchup_window_seconds: int = 86_400
    max_catchup: int = 100

    @classmethod
    def accept(cls, value: str | Mapping[str, Any] | None) -> Misfire:
        """From `"fire_once"` or `{policy, grace_seconds, union, catchup_window_seconds, max_catchup}`, or None."""
        given = {"policy": value} if isinstance(value, str) else {} if value is None else value
        if not isinstance(given, Mapping):
            raise Invalid("A policy or an object is needed.", field="misfire")
        given = {key: item for key, item in given.items() if item is not None}
        known_keys(given, cls.__dataclass_fields__, prefix="misfire", what="misfire", error=Invalid)
        policy = MisfirePolicy(
            one_of(given.get("policy", MisfirePolicy.FIRE_ONCE), MisfirePolicy, field="misfire.policy", error=Invalid)
        )
        union = flag(given.get("union", False), field="misfire.union", error=Invalid)
        if union and policy is not MisfirePolicy.FIRE_ONCE:
            raise Invalid("Only fire_once joins windows.", field="misfire.union")
        return cls(
            policy,
            _whole(given, "grace_seconds", 60, 0, 86_400),
            union,
            _whole(given, "catchup_window_seconds", 86_400, 1, MAX_CATCHUP_WINDOW_SECONDS),
            _whole(given, "max_catchup", 100, 1, MAX_CATCHUP),
        )

    def as_json(self) -> dict[str, Any]:
        """The canonical mapping, with the fields that the policy uses."""
        form: dict[str, Any] = {"policy": str(self.policy), "grace_seconds": self.grace_seconds}
        if self.policy is MisfirePolicy.FIRE_ONCE and self.union:
            form["union"] = True
        if self.policy is MisfirePolicy.CATCH_UP:
            form["catchup_window_seconds"] = self.catchup_window_seconds
            form["max_catchup"] = self.max_catchup
        return form

    def missed(self, slot: datetime, now: datetime) -> bool:
        grace = timedelta(seconds=self.grace_seconds)
        return aware_utc(now, field="now") > aware_utc(slot, field="slot") + grace


def decide(misfire: Misfire, *, slot: datetime, now: datetime, later: Callable[[int], Sequence[datetime]]) -> Verdict:
    """`later(n)` gives up to n fires strictly after the slot, ascending; it is called only when they matter."""
    if not misfire.missed(slot, now):
        return Verdict.ON_TIME
    if misfire.policy is MisfirePolicy.SKIP:
        return Verdict.MISSED
    if misfire.policy is MisfirePolicy.FIRE_ONCE:
        newer_is_missed = any(misfire.missed(fire, now) for fire in later(1))
        return Verdict.MISSED if newer_is_missed else Verdict.RUN_LATE
    age = aware_utc(now, field="now") - aware_utc(slot, field="slot")
    if age > timedelta(seconds=misfire.catchup_window_seconds):
        return Verdict.MISSED
    newer = sum(misfire.missed(fire, now) for fire in later(misfire.max_catchup))
    return Verdict.MISSED if newer >= misfire.max_catchup else Verdict.RUN_LATE


def _whole(given: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    return whole(given.get(key, default), low=low, high=high, field=f"misfire.{key}", error=Invalid)
