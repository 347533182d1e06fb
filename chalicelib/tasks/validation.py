"""From a caller's body to a task's columns: each field is checked and made canonical, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from chalicelib.core import TZDATA_VERSION
from chalicelib.core.instants import floor_second
from chalicelib.core.lifecycle import EVENTBRIDGE
from chalicelib.core.misfire import Misfire
from chalicelib.core.overlap import OverlapPolicy
from chalicelib.core.retry import Retry
from chalicelib.core.schedules.eventbridge import rule_expression, to_eventbridge
from chalicelib.core.schedules.fires import accept_schedule, latest_fire
from chalicelib.core.schedules.form import normalise_schedule
from chalicelib.core.schedules.window import accept_window
from chalicelib.errors import Invalid
from chalicelib.kinds.registry import KINDS, kind_of
from chalicelib.scheduling import slots
from chalicelib.scheduling.calendars import calendar_of
from chalicelib.settings import settings
from chalicelib.store import tasks
from chalicelib.store.task_record import DEFINITION, GIVEN, TaskRecord


def accept(body: Mapping[str, Any], *, now: datetime, known: TaskRecord | None = None) -> dict[str, Any]:
    """The columns of a task's definition. Raises Invalid, which names each wrong field.

    `known` is the task as it is, when it is edited: its schedule, sent back unchanged, is accepted as it is, even when
    it would be refused today, as a `once` in the past is.
    """
    defaults = {name: DEFINITION[name].default for name in GIVEN}
    given = defaults | {name: value for name, value in body.items() if value is not None}
    kind = given["kind"]
    if kind not in KINDS:
        raise Invalid(f"There is no kind {kind!r}; there are {', '.join(sorted(KINDS))}.", field="kind")
    schedule = accept_task_schedule(given["schedule"], now=now, trigger=given["trigger"], known=known)
    zone = str(schedule.get("timezone") or "UTC")
    window = given["window"]
    if window is not None:
        window = accept_window(window, schedule_type=schedule["type"], timezone=zone)
    try:
        overlap = OverlapPolicy(given["overlap"])
    except ValueError:
        options = ", ".join(OverlapPolicy)
        raise Invalid(f"{given['overlap']!r} is not one of {options}.", field="overlap") from None
    Misfire.accept(given["misfire"])
    Retry.accept(given["retry"])
    kind_rules = kind_of(kind)
    spec = kind_rules.check_spec(given["spec"] or {}, has_window=window is not None, timezone=zone)
    # A task that fires by itself must have every value; one that does not may get the missing ones at its start.
    enabled = bool(given["enabled"])
    kind_rules.check_parameters(spec, given["parameters"], has_window=window is not None, complete=enabled)
    return {
        # The request model has checked the types and ranges of those that are not replaced below.
        **{name: given[name] for name in GIVEN},
        "enabled": enabled,
        "schedule": schedule,
        "window": window,
        "overlap": overlap.value,
        "retry": given["retry"] or {},
        "parameters": dict(given["parameters"]),
        "spec": spec,
        **asdict(kind_rules.target(spec)),
    }


def check_start(task: TaskRecord, parameters: Mapping[str, Any]) -> None:
    """Raises Invalid when the task's kind knows that a job with these parameters would fail."""
    given = {**(task.parameters or {}), **parameters}
    kind_of(task.kind).check_parameters(task.spec, given, has_window=task.window is not None, complete=True)


def accept_task_schedule(
    given: Mapping[str, Any], *, now: datetime, trigger: str, known: TaskRecord | None = None
) -> dict[str, Any]:
    """The schedule to store. With a rule of its own it must be one that EventBridge can express: UTC, whole minutes,
    without end, and an interval without an anchor."""
    gap = settings().minimum_gap_seconds
    stored: Mapping[str, Any] = {} if known is None else known.schedule
    if stored and _same(given, stored):
        schedule = dict(stored)
    else:
        anchored = _anchored(given, stored)
        schedule = accept_schedule(anchored, now=now, minimum_gap_seconds=gap, calendar=calendar_of(given))
    if trigger == EVENTBRIDGE:
        # The anchor of a task that has its rule already is the one that acceptance filled in.
        filled_in = (
            known is not None and known.trigger == EVENTBRIDGE and schedule.get("anchor") == stored.get("anchor")
        )
        if given.get("anchor") is None or filled_in:
            rule_expression(schedule)
        else:
            to_eventbridge(schedule)
    return schedule


def _anchored(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The schedule with the anchor it has already: an edit does not move the instant that it counts from, which is the
    task's creation unless it has a start."""
    kept = known.get("anchor") if given.get("type") == known.get("type") and not given.get("start") else None
    return {**({} if kept is None else {"anchor": kept}), **given}


def _same(given: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether a schedule is the known one, with or without the anchor, which only acceptance fills in."""
    anchor = {"anchor": known.get("anchor")}
    return anchor | normalise_schedule(given) == anchor | dict(known)


def plan(task: TaskRecord, *, now: datetime, fire_now: bool) -> None:
    """Set the task's next slot: None when it is disabled, its schedule is over, or a rule reports its slots.

    `fire_now` starts a `now` task, and a past `once` task with `run_if_past`. It is for new tasks and those that never
    fired, not for every edit.
    """
    following = None
    if task.enabled and task.trigger != EVENTBRIDGE:
        kind = task.schedule["type"]
        if kind == "now":
            following = floor_second(now) if fire_now else None
        else:
            following = slots.next_slot(task, after=now)
            if following is None and fire_now and kind == "once" and task.schedule.get("run_if_past"):
                following = latest_fire(task.schedule, at_or_before=now)
    task.next_fire_at = following
    task.due_shard = None if following is None else tasks.shard(task.task_id)
    task.tzdata_version = TZDATA_VERSION
