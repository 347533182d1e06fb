"""EventBridge's schedule expressions, to and from schedules of the API, where both mean the same.

    cron(m h dom mon dow year)   in UTC; weekday 1 is Sunday; one of dom and dow is `?`
    rate(n minutes|hours|days)   elapsed time since the rule was made

A schedule that would fire differently there is refused with the reason. An EventBridge rule has no time zone, no start
and end, no anchor and no seconds. Its `?` stands alone, its `L`, `L-n`, `LW` and `nW` too, and no step is longer than
the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chalicelib.core.schedules import cron
from chalicelib.core.schedules.cron_fields import WEEKDAYS, Field, LastDay, NthWeekday, refuse
from chalicelib.core.schedules.form import normalise_schedule, read_time
from chalicelib.core.schedules.recurrence import read_month_day, read_weekday
from chalicelib.errors import InvalidSchedule

UTC_NAMES = frozenset(
    {"UTC", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu"}
    | {"GMT", "GMT0", "GMT+0", "GMT-0", "Etc/GMT", "Etc/GMT0", "Etc/GMT+0", "Etc/GMT-0", "Greenwich", "Etc/Greenwich"}
)

_CALL = re.compile(r"\s*(cron|rate|at)\s*\((.*)\)\s*", re.IGNORECASE)
_SPECIAL_DAY = re.compile(r"L(-\d{1,2})?|LW|\d{1,2}W")
_RATE = re.compile(r"\s*(\d{1,9})\s+(minute|hour|day)s?\s*", re.IGNORECASE)
_RATE_UNITS = {"minute": (1, "minute"), "hour": (1, "hour"), "day": (24, "hour")}


def from_eventbridge(text: str) -> dict[str, Any]:
    """A schedule in UTC as in the API, from `cron(…)` or `rate(…)`; six fields alone are read as `cron(…)`."""
    if not isinstance(text, str) or not text.isascii() or len(text) > cron.MAX_LENGTH:
        raise refuse("An EventBridge expression is plain ASCII of at most 256 characters.")
    call = _CALL.fullmatch(text)
    name, body = (call[1].lower(), call[2]) if call else ("cron", text)
    if name == "at":
        raise refuse("at(…) belongs to EventBridge Scheduler; use a schedule of type once.")
    return _from_rate(body) if name == "rate" else _from_cron(body)


def to_eventbridge(schedule: Mapping[str, Any]) -> str:
    """The `cron(…)` or `rate(…)` text of a rule that fires at the same instants, or InvalidSchedule."""
    form = normalise_schedule(schedule)
    for key, reason in _NO_COUNTERPART.items():
        if key in form:
            raise InvalidSchedule(f"An EventBridge rule {reason}.", field=f"schedule.{key}")
    kind = form["type"]
    if kind in ("now", "once"):
        raise InvalidSchedule("An EventBridge rule repeats; it cannot fire once.", field="schedule.type")
    if kind == "interval":
        if "anchor" in form:
            raise InvalidSchedule(
                "An EventBridge rate counts from the moment its rule is made and takes no anchor.",
                field="schedule.anchor",
            )
        return _rate(form)
    if form["timezone"] not in UTC_NAMES:
        raise InvalidSchedule(
            f"An EventBridge rule runs in UTC, this schedule in {form['timezone']}.", field="schedule.timezone"
        )
    return _cron(cron.parse(form["expression"] if kind == "cron" else _as_cron(form)))


def rule_expression(schedule: Mapping[str, Any]) -> str:
    """The text of a task's own rule: as `to_eventbridge`, but without the anchor that acceptance filled in."""
    return to_eventbridge({key: value for key, value in schedule.items() if key != "anchor"})


_NO_COUNTERPART = {
    "start": "has no range: it fires from the moment it is made",
    "end": "has no range: it fires until it is removed",
    "jitter_seconds": "has no jitter",
    "on_non_business": "knows no calendar of working days",
}


def _from_rate(body: str) -> dict[str, Any]:
    match = _RATE.fullmatch(body)
    if match is None or int(match[1]) == 0:
        raise refuse("A rate is a positive number of minutes, hours or days, such as rate(5 minutes).")
    factor, unit = _RATE_UNITS[match[2].lower()]
    return normalise_schedule({"type": "interval", "every": int(match[1]) * factor, "unit": unit, "timezone": "UTC"})


def _from_cron(body: str) -> dict[str, Any]:
    parts = body.upper().split()
    if len(parts) != 6:
        raise refuse(f"An EventBridge cron has 6 fields, minutes to year; this one has {len(parts)}.")
    minute, hour, day, month, weekday, year = parts
    if (day == "?") == (weekday == "?"):
        raise refuse("Exactly one of day of month and day of week is '?' in EventBridge.")
    if any("?" in part and part != "?" for part in (day, weekday)):
        raise refuse("A '?' stands alone in EventBridge, without a step or a list.")
    if re.search("[LW]", day) and not _SPECIAL_DAY.fullmatch(day):
        raise refuse(f"EventBridge knows L, L-n, LW and nW only on their own, not {day!r}.")
    fields = [minute, hour, day.replace("?", "*"), month, _weekdays_from(weekday), year]
    return normalise_schedule({"type": "cron", "expression": " ".join(["0", *fields]), "timezone": "UTC"})


def _weekdays_from(text: str) -> str:
    """From EventBridge's weekdays, 1-7 with Sunday first, to cron's, 0-6 with Sunday first."""
    if text in ("*", "?"):
        return "*"
    if text == "L":
        return "6"
    if "#" in text and "," in text:
        raise refuse("EventBridge allows one weekday with '#', not a list.")

    def number(match: re.Match[str]) -> str:
        if not 1 <= int(match[0]) <= 7:
            raise refuse(f"{match[0]!r} is not an EventBridge weekday (1-7, 1 is Sunday).")
        return str(int(match[0]) - 1)

    # Only a number at the start of an item or of an end of a range is a weekday; after `/` or `#` it is a count.
    return re.sub(r"(?<![\w/#])\d+", number, text)


def _rate(form: Mapping[str, Any]) -> str:
    minutes, rest = divmod(form["every"] * {"second": 1, "minute": 60, "hour": 3600}[form["unit"]], 60)
    if rest:
        raise InvalidSchedule("An EventBridge rate is in whole minutes.", field="schedule.every")
    n, unit = minutes, "minute"
    for size, name in ((1440, "day"), (60, "hour")):
        if minutes % size == 0:
            n, unit = minutes // size, name
            break
    return f"rate({n} {unit}{'' if n == 1 else 's'})"


def _cron(parsed: cron.Expression) -> str:
    if parsed.second.values != {0}:
        raise refuse("An EventBridge rule fires on the minute; this expression has seconds.")
    day, weekday = _day(parsed.day), _weekday(parsed.weekday)
    if parsed.day_rule == "or" and "*" in (day, weekday):
        day = weekday = "*"  # one side alone meets every date
    if "*" not in (day, weekday):
        raise refuse("EventBridge restricts the day of month or the weekday, not both.")
    if day == "*" and weekday != "*":
        day = "?"
    else:
        weekday = "?"
    month = _plain(parsed.month)
    return f"cron({_plain(parsed.minute)} {_plain(parsed.hour)} {day} {month} {weekday} {_plain(parsed.year)})"


def _plain(field: Field) -> str:
    """A leading star matters only across daylight saving changes, which UTC has not: all values are `*`."""
    if field.full:
        return "*"
    text = str(field)
    star = re.match(r"\*/(\d+)", text)
    # `*/24` of the hours is only 0. EventBridge refuses a step as long as the field.
    return str(replace(field, starred=False)) if star and int(star[1]) > field.kind.high - field.kind.low else text


def _day(field: Field) -> str:
    if not field.specials:
        return _plain(field)
    if field.values or len(field.specials) > 1:
        raise refuse(f"EventBridge knows L, L-n, LW and nW only on their own, not {field}.")
    (special,) = field.specials
    if isinstance(special, LastDay) and special.before and special.weekday:
        raise refuse(f"EventBridge does not know {special}.")
    return str(special)


def _weekday(field: Field) -> str:
    if field.specials:
        if field.values or len(field.specials) > 1:
            raise refuse(f"EventBridge allows one weekday with '#' or 'L', not a list ({field}).")
        (special,) = field.specials
        assert isinstance(special, NthWeekday)
        return f"{special.weekday + 1}#{special.nth}" if special.nth else f"{special.weekday + 1}L"
    if field.full:
        return "*"
    ordered = sorted(field.values)
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{WEEKDAYS[ordered[0]]}-{WEEKDAYS[ordered[-1]]}"
    return ",".join(WEEKDAYS[day] for day in ordered)


def _as_cron(form: Mapping[str, Any]) -> str:
    """The expression of a `calendar` schedule that needs no anchor."""
    if form["every"] != 1:
        raise InvalidSchedule("EventBridge cannot count every N days, weeks or months.", field="schedule.every")
    at = read_time(form["at"], field="schedule.at")
    day = weekday = "*"
    if form["unit"] == "week":
        if "weekdays" not in form:
            raise InvalidSchedule("Weekdays are needed.", field="schedule.weekdays")
        weekday = ",".join(str(read_weekday(name, field="schedule.weekdays")) for name in form["weekdays"])
    if form["unit"] == "month":
        if "month_day" not in form:
            raise InvalidSchedule("A day of the month is needed.", field="schedule.month_day")
        rule = read_month_day(form["month_day"], field="schedule.month_day")
        if form["if_missing"] == "clamp" and (
            (isinstance(rule, int) and 28 < rule < 31) or (isinstance(rule, NthWeekday) and rule.nth == 5)
        ):
            raise InvalidSchedule("EventBridge skips a month without that day.", field="schedule.if_missing")
        if isinstance(rule, NthWeekday):
            weekday = str(rule)
        elif rule == 31 and form["if_missing"] == "clamp":
            day = "L"
        else:
            day = str(rule)
    return f"{at.second} {at.minute} {at.hour} {day} * {weekday}"
