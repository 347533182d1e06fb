"""The shape of a schedule: which fields each type takes, and the canonical mapping they become.

    type      needs                      may have (besides `timezone`, UTC by default)
    now
    once      at                         fold, run_if_past
    interval  every, unit                start, end, anchor, jitter_seconds
    calendar  every, unit, at            weekdays, week_start | month_day, if_missing; dst_policy, calendar,
                                         on_non_business; start, end, anchor, jitter_seconds
    cron      expression                 dst_policy, calendar, on_non_business; start, end, jitter_seconds

Nothing here depends on the time: `fires.accept_schedule` refuses a `once` in the past and fills in anchors. A key that
holds null counts as absent. The canonical form leaves out defaults, and holds instants as RFC 3339 text in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.core.fields import flag, has_offset, known_keys, one_of, read_instant, read_local, whole
from chalicelib.core.instants import rfc3339
from chalicelib.core.local_time import aware_utc, instants_showing, to_local, zone
from chalicelib.core.schedules import cron
from chalicelib.core.schedules.business_days import OnNonBusiness
from chalicelib.core.schedules.cron_fields import WEEKDAYS
from chalicelib.core.schedules.dst import DstPolicy
from chalicelib.core.schedules.recurrence import month_day_text, read_month_day, read_weekday
from chalicelib.errors import InvalidSchedule

TYPES = ("now", "once", "interval", "calendar", "cron")
UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
CALENDAR_UNITS = ("day", "week", "month")

# Jitter delays a fire by less than a day, so that it still belongs to its date.
MAX_JITTER_SECONDS = 86_400
MAX_EVERY = 1_000_000_000

_RANGE = frozenset({"start", "end", "jitter_seconds"})
_DAYS = frozenset({"dst_policy", "calendar", "on_non_business"})
_FIELDS: dict[str, frozenset[str]] = {
    "now": frozenset(),
    "once": frozenset({"at", "fold", "run_if_past"}),
    "interval": _RANGE | {"every", "unit", "anchor"},
    "calendar": _RANGE | _DAYS | {"every", "unit", "at", "weekdays", "week_start", "month_day", "if_missing", "anchor"},
    "cron": _RANGE | _DAYS | {"expression"},
}
_CALENDAR_FIELDS: dict[str, frozenset[str]] = {
    "day": frozenset(),
    "week": frozenset({"weekdays", "week_start"}),
    "month": frozenset({"month_day", "if_missing"}),
}
_UNIT_FIELDS = frozenset().union(*_CALENDAR_FIELDS.values())
_TIME = re.compile(r"(\d{2}):(\d{2})(?::(\d{2}))?")


def normalise_schedule(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical mapping, or InvalidSchedule naming the field. Idempotent."""
    if not isinstance(schedule, Mapping):
        raise InvalidSchedule("A schedule is an object.", field="schedule")
    given = {key: value for key, value in schedule.items() if value is not None}
    kind = one_of(given.get("type"), TYPES, field="schedule.type")
    known_keys(given, _FIELDS[kind] | {"type", "timezone"}, prefix="schedule", what=f"a schedule of type {kind}")
    tz = zone(given.get("timezone", "UTC"))
    form: dict[str, Any] = {"type": kind}
    form.update(_READERS[kind](given, tz))
    form["timezone"] = tz.key
    if kind in ("calendar", "cron"):
        form.update(_day_rules(given))
    if "start" in _FIELDS[kind]:
        form.update(_range(given, tz))
    return form


def _now(given: Mapping[str, Any], tz: ZoneInfo) -> dict[str, Any]:
    return {}


def _once(given: Mapping[str, Any], tz: ZoneInfo) -> dict[str, Any]:
    at = _needed(given, "at")
    if has_offset(at):
        instant = read_instant(at, tz, field="schedule.at")
        local, fold = to_local(instant, tz), to_local(instant, tz).fold
    else:
        if isinstance(at, datetime):
            aware_utc(at, field="schedule.at")
        local, fold = read_local(at, field="schedule.at"), 0
        if local.microsecond:
            raise InvalidSchedule("Times are to the second.", field="schedule.at")
    if "fold" in given:
        fold = whole(given["fold"], low=0, high=1, field="schedule.fold")
    local = local.replace(fold=0)
    form: dict[str, Any] = {"at": local.isoformat(timespec="seconds")}
    found = instants_showing(local, tz)
    if isinstance(found, tuple) and len(found) == 2:
        form["fold"] = fold
    if "run_if_past" in given and flag(given["run_if_past"], field="schedule.run_if_past"):
        form["run_if_past"] = True
    return form


def _interval(given: Mapping[str, Any], tz: ZoneInfo) -> dict[str, Any]:
    return {
        "every": whole(_needed(given, "every"), low=1, high=MAX_EVERY, field="schedule.every"),
        "unit": one_of(_needed(given, "unit"), tuple(UNIT_SECONDS), field="schedule.unit"),
    }


def _calendar(given: Mapping[str, Any], tz: ZoneInfo) -> dict[str, Any]:
    unit = one_of(_needed(given, "unit"), CALENDAR_UNITS, field="schedule.unit")
    for key in given.keys() & (_UNIT_FIELDS - _CALENDAR_FIELDS[unit]):
        raise InvalidSchedule(f"{key!r} means nothing for every N {unit}s.", field=f"schedule.{key}")
    form: dict[str, Any] = {
        "every": whole(_needed(given, "every"), low=1, high=10_000, field="schedule.every"),
        "unit": unit,
        "at": read_time(_needed(given, "at"), field="schedule.at").isoformat(),
    }
    if unit == "week":
        week_start = read_weekday(given.get("week_start", "MON"), field="schedule.week_start")
        form["week_start"] = WEEKDAYS[week_start]
        if "weekdays" in given:
            form["weekdays"] = _weekdays(given["weekdays"], week_start)
    if unit == "month":
        if "month_day" in given:
            form["month_day"] = month_day_text(read_month_day(given["month_day"], field="schedule.month_day"))
        form["if_missing"] = one_of(given.get("if_missing", "clamp"), ("clamp", "skip"), field="schedule.if_missing")
    return form


def _cron(given: Mapping[str, Any], tz: ZoneInfo) -> dict[str, Any]:
    expression = _needed(given, "expression")
    if not isinstance(expression, str):
        raise InvalidSchedule("A cron expression is text.", field="schedule.expression")
    return {"expression": str(cron.parse(expression))}


_READERS = {"now": _now, "once": _once, "interval": _interval, "calendar": _calendar, "cron": _cron}


def read_time(value: object, *, field: str) -> time:
    match = _TIME.fullmatch(value) if isinstance(value, str) and value.isascii() else None
    if match is None:
        raise InvalidSchedule("A time of day such as 02:00:00 is needed.", field=field)
    try:
        return time(int(match[1]), int(match[2]), int(match[3] or 0))
    except ValueError as error:
        raise InvalidSchedule(f"{value!r} is not a time of day.", field=field) from error


def _weekdays(value: object, week_start: int) -> list[str]:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidSchedule("A list of weekdays is needed.", field="schedule.weekdays")
    found = {read_weekday(item, field="schedule.weekdays") for item in value}
    return [WEEKDAYS[day] for day in sorted(found, key=lambda day: (day - week_start) % 7)]


def _day_rules(given: Mapping[str, Any]) -> dict[str, Any]:
    form: dict[str, Any] = {}
    policy = one_of(given.get("dst_policy", "vixie"), tuple(DstPolicy), field="schedule.dst_policy")
    if policy != DstPolicy.VIXIE:
        form["dst_policy"] = str(policy)
    rule = one_of(given.get("on_non_business", "run"), tuple(OnNonBusiness), field="schedule.on_non_business")
    if "calendar" in given:
        if not isinstance(given["calendar"], str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", given["calendar"]):
            raise InvalidSchedule("The id of a calendar is needed.", field="schedule.calendar")
        form["calendar"] = given["calendar"]
    if rule != OnNonBusiness.RUN:
        form["on_non_business"] = str(rule)
    return form


def _range(given: Mapping[str, Any], tz: ZoneInfo) -> dict[str, Any]:
    form: dict[str, Any] = {}
    start = end = None
    if "start" in given:
        start = read_instant(given["start"], tz, field="schedule.start")
        form["start"] = rfc3339(start)
    elif "anchor" in given:
        form["anchor"] = rfc3339(read_instant(given["anchor"], tz, field="schedule.anchor"))
    if "end" in given:
        end = read_instant(given["end"], tz, field="schedule.end", whole_day="end")
        form["end"] = rfc3339(end)
    if start and end and start > end:
        raise InvalidSchedule("The range ends before it starts.", field="schedule.end")
    jitter = whole(given.get("jitter_seconds", 0), low=0, high=MAX_JITTER_SECONDS, field="schedule.jitter_seconds")
    if jitter:
        form["jitter_seconds"] = jitter
    return form


def _needed(given: Mapping[str, Any], key: str) -> Any:
    if key not in given:
        raise InvalidSchedule(f"A schedule of type {given['type']} needs {key!r}.", field=f"schedule.{key}")
    return given[key]
