"""The data window of a slot: half-open `[start, end)`, computed from the slot's planned time alone.

So a slot covers the same data however late its job starts, and at every retry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.core.fields import read_instant
from chalicelib.core.instants import floor_second, rfc3339
from chalicelib.core.local_time import (
    aware_utc,
    epoch_seconds,
    from_seconds,
    instant_showing,
    start_of_day,
    to_local,
    zone,
)
from chalicelib.core.schedules.recurrence import day_in_month, month_number, read_weekday, start_of_week
from chalicelib.core.schedules.window_form import normalise_window
from chalicelib.errors import InvalidSchedule

_ELAPSED = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_CLOCK_UNITS = ("second", "minute", "hour")
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_ONE_DAY = timedelta(days=1)


def accept_window(window: Mapping[str, Any], *, schedule_type: str, timezone: str = "UTC") -> dict[str, Any]:
    """The canonical mapping to store and show; InvalidSchedule names the field (`window.…`)."""
    form = normalise_window(window, zone(timezone))
    if form["type"] == "since_previous_fire" and schedule_type == "now":
        raise InvalidSchedule("A task that runs now has no previous fire to start from.", field="window.type")
    if form["type"] == "custom":
        _check_order(form)
    return form


def resolve(
    window: Mapping[str, Any],
    *,
    scheduled_for: datetime,
    timezone: str,
    previous: datetime | None = None,
    written_on: date | None = None,
) -> tuple[datetime, datetime]:
    """`(start, end)` in UTC for the slot `scheduled_for`.

    Only `since_previous_fire` needs `previous` (see `window_begin.py`). `written_on` is the date that the schedule
    wrote for the slot (`written_date.py`); its local date, unless given. A custom window whose ends cross is empty.
    """
    fire = aware_utc(scheduled_for, field="scheduled_for").replace(microsecond=0)
    tz = zone(timezone)
    form = _form(json.dumps(window, sort_keys=True, default=_text), timezone)
    kind = form["type"]
    if kind == "since_previous_fire":
        if previous is None:
            raise InvalidSchedule("There is no previous fire to start the window from.", field="window.type")
        return aware_utc(previous, field="previous").replace(microsecond=0), fire
    if kind == "fixed":
        start, end = (read_instant(form[edge], tz, field=f"window.{edge}") for edge in ("start", "end"))
        return start, end
    return _RESOLVERS[kind](form, _Fire(fire, written_on or to_local(fire, tz).date()), tz)


def window_is_empty(start: datetime, end: datetime) -> bool:
    return aware_utc(end, field="end") <= aware_utc(start, field="start")


def union(windows: Iterable[tuple[datetime, datetime]]) -> tuple[datetime, datetime]:
    """The smallest window that covers all of these. Empty ones count only when all are empty."""
    pairs = [(aware_utc(start, field="start"), aware_utc(end, field="end")) for start, end in windows]
    filled = [pair for pair in pairs if not window_is_empty(*pair)] or pairs
    if not filled:
        raise ValueError("no windows to unite")
    return min(start for start, _ in filled), max(end for _, end in filled)


def window_parameters(
    start: datetime | None, end: datetime | None, scheduled_for: datetime, timezone: str
) -> dict[str, datetime | date | str]:
    """The parameters of a slot that queries may use. `<edge>` is `window_start`, `window_end` or `scheduled_for`:

    - `<edge>`: the instant, an aware UTC datetime, for columns that hold instants;
    - `<edge>_local`: its local time in the task's zone as text, `2026-03-08 03:00:00`, for columns without a zone;
    - `<edge>_date`: its local date. The window is half-open, so compare with `< window_end_date`;
    - `window_last_date`: the last local date the window touches, for columns of dates and inclusive comparisons.

    A task without a window has only those of `scheduled_for`.
    """
    tz = zone(timezone)
    given = {"scheduled_for": aware_utc(scheduled_for, field="scheduled_for")}
    if start is not None and end is not None:
        given["window_start"] = aware_utc(start, field="start")
        given["window_end"] = aware_utc(end, field="end")
    found: dict[str, datetime | date | str] = {}
    for name, instant in given.items():
        local = to_local(instant, tz)
        found[name] = instant
        found[f"{name}_local"] = local.strftime("%Y-%m-%d %H:%M:%S")
        found[f"{name}_date"] = local.date()
    if "window_end" in given:
        last = max(given["window_start"], given["window_end"] - timedelta(microseconds=1))
        found["window_last_date"] = to_local(last, tz).date()
    return found


@lru_cache(maxsize=1024)
def _form(key: str, timezone: str) -> dict[str, Any]:
    return normalise_window(json.loads(key), zone(timezone))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return rfc3339(floor_second(aware_utc(value, field="window")))
    raise InvalidSchedule("A window holds JSON values only.", field="window")


@dataclass(frozen=True, slots=True)
class _Fire:
    """A slot, and the local date that its schedule wrote for it."""

    at: datetime
    day: date


def _yesterday(form: Mapping[str, Any], fire: _Fire, tz: ZoneInfo) -> tuple[datetime, datetime]:
    return start_of_day(fire.day - _ONE_DAY, tz), start_of_day(fire.day, tz)


def _last(form: Mapping[str, Any], fire: _Fire, tz: ZoneInfo) -> tuple[datetime, datetime]:
    if form["unit"] == "day":
        return start_of_day(fire.day - form["n"] * _ONE_DAY, tz), start_of_day(fire.day, tz)
    end = _truncate(fire, form["unit"], tz)
    return end - form["n"] * _ELAPSED[form["unit"]], end


def _rolling(form: Mapping[str, Any], fire: _Fire, tz: ZoneInfo) -> tuple[datetime, datetime]:
    return fire.at - form["n"] * _ELAPSED[form["unit"]], fire.at


def _previous(form: Mapping[str, Any], fire: _Fire, tz: ZoneInfo) -> tuple[datetime, datetime]:
    first = period_start(fire.day, form["unit"], form.get("week_start", "MON"))
    return start_of_day(_add_periods(first, -form["n"], form["unit"]), tz), start_of_day(first, tz)


def _to_date(form: Mapping[str, Any], fire: _Fire, tz: ZoneInfo) -> tuple[datetime, datetime]:
    start = start_of_day(period_start(fire.day, form["unit"]), tz)
    return start, fire.at if form["until"] == "to_now" else start_of_day(fire.day, tz)


def _custom(form: Mapping[str, Any], fire: _Fire, tz: ZoneInfo) -> tuple[datetime, datetime]:
    start, end = (_edge(form[edge], fire, tz, form.get("week_start", "MON")) for edge in ("start", "end"))
    return start, max(start, end)


_RESOLVERS: dict[str, Callable[[Mapping[str, Any], _Fire, ZoneInfo], tuple[datetime, datetime]]] = {
    "yesterday": _yesterday,
    "last": _last,
    "rolling": _rolling,
    "previous": _previous,
    "to_date": _to_date,
    "custom": _custom,
}


def _truncate(fire: _Fire, unit: str, tz: ZoneInfo, week_start: str = "MON") -> datetime:
    """The start of the local unit that a slot lies in.

    Below a day it subtracts, as elapsed time, what the clock shows beyond the full unit. So hours follow each other
    without a hole also when a zone changes its clocks in the middle of one.
    """
    if unit in _CLOCK_UNITS:
        local = to_local(fire.at, tz)
        second = 0 if unit == "second" else local.second
        minute = local.minute if unit == "hour" else 0
        return fire.at - timedelta(minutes=minute, seconds=second, microseconds=local.microsecond)
    return start_of_day(period_start(fire.day, unit, week_start), tz)


def period_start(day: date, unit: str, week_start: str = "MON") -> date:
    if unit == "day":
        return day
    if unit == "week":
        return start_of_week(day, read_weekday(week_start, field="window.week_start"))
    months = _MONTHS[unit]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


def _add_periods(day: date, n: int, unit: str) -> date:
    """The date n units later; a day that the month does not have becomes its last."""
    if unit in ("day", "week"):
        return day + n * _ELAPSED[unit]
    number = month_number(day) + n * _MONTHS[unit]
    found = day_in_month(day.day, date(number // 12, number % 12 + 1, 1), clamp=True)
    assert found is not None
    return found


def _edge(edge: Mapping[str, Any], fire: _Fire, tz: ZoneInfo, week_start: str) -> datetime:
    trunc, offset, unit = edge.get("trunc"), edge.get("offset", 0), str(edge.get("unit", ""))
    if unit in _CLOCK_UNITS or not offset:
        moved_by: timedelta = offset * _ELAPSED[unit] if unit else timedelta(0)
        return (_truncate(fire, trunc, tz, week_start) if trunc else fire.at) + moved_by
    if trunc and trunc not in _CLOCK_UNITS:
        # Dates are moved, not what the clock shows when the first one begins: that may be 1:00, where a gap ends.
        return start_of_day(_add_periods(period_start(fire.day, trunc, week_start), offset, unit), tz)
    local = to_local(_truncate(fire, trunc, tz) if trunc else fire.at, tz)
    moved = datetime.combine(_add_periods(local.date(), offset, unit), local.time().replace(fold=0))
    return from_seconds(instant_showing(moved, tz))


def _check_order(form: Mapping[str, Any]) -> None:
    """Refuse a custom window whose end is never after its start; slots of a whole year are tried."""
    begin = datetime.combine(date(2027, 1, 1), time(0, 30))
    utc = zone("UTC")
    for hours in range(0, 366 * 24, 11):
        fire = from_seconds(epoch_seconds(begin.replace(tzinfo=utc)) + hours * 3600)
        if not window_is_empty(*_custom(form, _Fire(fire, fire.date()), utc)):
            return
    raise InvalidSchedule("The window ends before it starts.", field="window.end")
