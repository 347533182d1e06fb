"""Misfire: what becomes of a slot that nobody dispatched in time.

A slot F is missed when `now > F + grace`. Decided slot by slot, oldest first, so a dispatcher may stop after any of
them and go on at its next tick. Time in which the task was paused is not a misfire: the caller leaves such slots out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from chalicelib.core.moments import aware
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
    """`union`: the slot that runs under `fire_once` covers the windows of the missed slots before it as well."""

    policy: MisfirePolicy = MisfirePolicy.FIRE_ONCE
    grace_seconds: int = 60
    union: bool = False
    catchup_window_seconds: int = 86_400
    max_catchup: int = 100

    @classmethod
    def accept(cls, value: str | Mapping[str, Any] | None) -> Misfire:
        """From `"fire_once"` or `{policy, grace_seconds, union, catchup_window_seconds, max_catchup}`, or None."""
        given: dict[str, Any] = {"policy": value} if isinstance(value, str) else dict(value or {})
        given = {key: item for key, item in given.items() if item is not None}
        for key in given.keys() - set(cls.__dataclass_fields__):
            raise Invalid(f"{key!r} means nothing for misfire.", field=f"misfire.{key}")
        try:
            policy = MisfirePolicy(given.get("policy", MisfirePolicy.FIRE_ONCE))
        except ValueError as error:
            raise Invalid(f"One of {', '.join(MisfirePolicy)} is needed.", field="misfire.policy") from error
        union = given.get("union", False)
        if not isinstance(union, bool):
            raise Invalid("true or false is needed.", field="misfire.union")
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
        """The canonical mapping: only what counts under the policy."""
        form: dict[str, Any] = {"policy": str(self.policy), "grace_seconds": self.grace_seconds}
        if self.policy is MisfirePolicy.FIRE_ONCE and self.union:
            form["union"] = True
        if self.policy is MisfirePolicy.CATCH_UP:
            form["catchup_window_seconds"] = self.catchup_window_seconds
            form["max_catchup"] = self.max_catchup
        return form

    def missed(self, slot: datetime, now: datetime) -> bool:
        grace = timedelta(seconds=self.grace_seconds)
        return aware(now, field="now") > aware(slot, field="slot") + grace


def decide(misfire: Misfire, *, slot: datetime, now: datetime, later: Callable[[int], Sequence[datetime]]) -> Verdict:
    """`later(n)` gives up to n fires strictly after the slot, ascending; asked only when the answer depends on it."""
    if not misfire.missed(slot, now):
        return Verdict.ON_TIME
    if misfire.policy is MisfirePolicy.SKIP:
        return Verdict.MISSED
    if misfire.policy is MisfirePolicy.FIRE_ONCE:
        newer_is_missed = any(misfire.missed(fire, now) for fire in later(1))
        return Verdict.MISSED if newer_is_missed else Verdict.RUN_LATE
    age = aware(now, field="now") - aware(slot, field="slot")
    if age > timedelta(seconds=misfire.catchup_window_seconds):
        return Verdict.MISSED
    newer = sum(misfire.missed(fire, now) for fire in later(misfire.max_catchup))
    return Verdict.MISSED if newer >= misfire.max_catchup else Verdict.RUN_LATE


def _whole(given: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    value = given.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Invalid(f"A whole number from {low} to {high} is needed.", field=f"misfire.{key}")
    return value
