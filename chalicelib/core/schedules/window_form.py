"""The shape of a data window: its types, their readable aliases, and the canonical mapping they become.

    yesterday
    last                  n, unit day|hour|minute          aligned to the unit
    rolling               n, unit second|minute|hour|day|week   elapsed time up to the fire
    previous              n, unit week|month|quarter|year; week_start
    to_date               unit month|quarter|year, until full_days|to_now
    since_previous_fire
    custom                start and end: {trunc?, offset?, unit?}; week_start
    fixed                 start, end

Every type may have `allow_empty: true`. A key that holds null counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.core.fields import flag, known_keys, one_of, read_instant, whole
from chalicelib.core.instants import rfc3339
from chalicelib.core.schedules.cron_fields import WEEKDAYS
from chalicelib.core.schedules.recurrence import read_weekday
from chalicelib.errors import InvalidSchedule

LAST_UNITS = ("minute", "hour", "day")
ROLLING_UNITS = ("second", "minute", "hour", "day", "week")
PERIODS = ("week", "month", "quarter", "year")
TO_DATE_UNITS = ("month", "quarter", "year")
UNTIL = ("full_days", "to_now")
CUSTOM_UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")

# About a century of each unit, so that every window stays within the range of `datetime`.
MOST = {
    "second": 100_000_000,
    "minute": 10_000_000,
    "hour": 876_000,
    "day": 36_500,
    "week": 5_200,
    "month": 1_200,
    "quarter": 400,
    "year": 100,
}

_FIELDS: dict[str, frozenset[str]] = {
    "yesterday": frozenset(),
    "last": frozenset({"n", "unit"}),
    "rolling": frozenset({"n", "unit"}),
    "previous": frozenset({"n", "unit", "week_start"}),
    "to_date": frozenset({"unit", "until"}),
    "since_previous_fire": frozenset(),
    "custom": frozenset({"start", "end", "week_start"}),
    "fixed": frozenset({"start", "end"}),
}
TYPES = tuple(_FIELDS)

# Alias -> the window it stands for; the caller's `n` replaces the one here.
ALIASES: dict[str, dict[str, Any]] = {
    "previous_day": {"type": "yesterday"},
    "today": {"type": "custom", "start": {"trunc": "day"}, "end": {}},
    **{f"last_{unit}": {"type": "last", "n": 1, "unit": unit} for unit in LAST_UNITS},
    **{f"last_{unit}s": {"type": "last", "n": 1, "unit": unit} for unit in LAST_UNITS},
    **{f"last_n_{unit}s": {"type": "last", "unit": unit} for unit in LAST_UNITS},
    **{f"rolling_{unit}s": {"type": "rolling", "n": 1, "unit": unit} for unit in ROLLING_UNITS},
    **{f"previous_{unit}": {"type": "previous", "n": 1, "unit": unit} for unit in PERIODS},
    **{f"previous_{unit}s": {"type": "previous", "n": 1, "unit": unit} for unit in PERIODS},
    **{f"{unit}_to_date": {"type": "to_date", "unit": unit} for unit in TO_DATE_UNITS},
}


def normalise_window(window: Mapping[str, Any], tz: ZoneInfo) -> dict[str, Any]:
    """The canonical mapping, or InvalidSchedule naming the field. Idempotent."""
    if not isinstance(window, Mapping):
        raise InvalidSchedule("A window is an object.", field="window")
    given = {key: value for key, value in window.items() if value is not None}
    name = given.get("type")
    if isinstance(name, str) and name in ALIASES:
        given = {**ALIASES[name], **{key: value for key, value in given.items() if key != "type"}}
    kind = one_of(given.get("type"), TYPES, field="window.type")
    known_keys(given, _FIELDS[kind] | {"type", "allow_empty"}, prefix="window", what=f"a window of type {kind}")
    form: dict[str, Any] = {"type": kind}
    match kind:
        case "last":
            form.update(_count(given, LAST_UNITS))
        case "rolling":
            form.update(_count(given, ROLLING_UNITS))
        case "previous":
            form.update(_count(given, PERIODS))
            form.update(_week_start(given, wanted=form["unit"] == "week"))
        case "to_date":
            form["unit"] = one_of(given.get("unit"), TO_DATE_UNITS, field="window.unit")
            form["until"] = one_of(given.get("until", "full_days"), UNTIL, field="window.until")
        case "custom":
            form["start"] = _edge(given, "start")
            form["end"] = _edge(given, "end")
            weeks = "week" in (form["start"].get("trunc"), form["end"].get("trunc"))
            form.update(_week_start(given, wanted=weeks))
        case "fixed":
            form.update(_fixed(given, tz))
    if "allow_empty" in given and flag(given["allow_empty"], field="window.allow_empty"):
        form["allow_empty"] = True
    return form


def _count(given: Mapping[str, Any], units: tuple[str, ...]) -> dict[str, Any]:
    unit = one_of(given.get("unit"), units, field="window.unit")
    return {"n": whole(given.get("n", 1), low=1, high=MOST[unit], field="window.n"), "unit": unit}


def _week_start(given: Mapping[str, Any], *, wanted: bool) -> dict[str, Any]:
    if not wanted:
        if "week_start" in given:
            raise InvalidSchedule("week_start means something for weeks only.", field="window.week_start")
        return {}
    return {"week_start": WEEKDAYS[read_weekday(given.get("week_start", "MON"), field="window.week_start")]}


def _edge(given: Mapping[str, Any], end: str) -> dict[str, Any]:
    """`trunc`: cut the fire down to its unit; then move by `offset` of `unit` (by default the unit of `trunc`)."""
    edge = given.get(end)
    if not isinstance(edge, Mapping):
        raise InvalidSchedule("An object such as {trunc: day, offset: -1} is needed.", field=f"window.{end}")
    edge = {key: value for key, value in edge.items() if value is not None}
    known_keys(edge, {"trunc", "offset", "unit"}, prefix=f"window.{end}", what="an end of a custom window")
    form: dict[str, Any] = {}
    if "trunc" in edge:
        form["trunc"] = one_of(edge["trunc"], CUSTOM_UNITS, field=f"window.{end}.trunc")
    if edge.get("offset", 0) != 0:
        unit = one_of(edge.get("unit", form.get("trunc")), CUSTOM_UNITS, field=f"window.{end}.unit")
        most = MOST[unit]
        form["offset"] = whole(edge["offset"], low=-most, high=most, field=f"window.{end}.offset")
        form["unit"] = unit
    elif "unit" in edge:
        one_of(edge["unit"], CUSTOM_UNITS, field=f"window.{end}.unit")
    return form


def _fixed(given: Mapping[str, Any], tz: ZoneInfo) -> dict[str, Any]:
    ends = {}
    for end in ("start", "end"):
        if end not in given:
            raise InvalidSchedule(f"A fixed window needs {end!r}.", field=f"window.{end}")
        ends[end] = read_instant(given[end], tz, field=f"window.{end}")
    if ends["start"] >= ends["end"]:
        raise InvalidSchedule("The window ends before it starts.", field="window.end")
    return {end: rfc3339(instant) for end, instant in ends.items()}
