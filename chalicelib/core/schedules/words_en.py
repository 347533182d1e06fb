"""Schedules and windows in English."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chalicelib.core.schedules.cron import Expression, parse
from chalicelib.core.schedules.cron_fields import DaySpecial, Field, LastDay, NearestWeekday, NthWeekday
from chalicelib.core.schedules.recurrence import read_month_day, read_weekday
from chalicelib.core.schedules.word_facts import (
    MOST_YEARS,
    Every,
    Runs,
    Stepped,
    clock_times,
    hourly,
    moment,
    names_zone,
    pattern,
    runs,
    short_time,
    weekday_runs,
)

WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

DST = {
    "literal": "a local time that a clock change skips does not fire, one that comes twice fires twice",
    "skip_once": "a local time that a clock change skips does not fire, one that comes twice fires the first time",
}
NON_BUSINESS = {
    "skip": "not on days off",
    "next": "on the next working day instead of a day off",
    "previous": "on the working day before instead of a day off",
    "modified_following": "on the next working day of the same month, else the one before, instead of a day off",
}


def schedule(form: Mapping[str, Any]) -> str:
    parts = [_KINDS[form["type"]](form)]
    if names_zone(form):
        parts[0] += f" ({form['timezone']})"
    if "start" in form:
        parts.append(f"from {moment(form['start'], form['timezone'])}")
    elif "anchor" in form and form["every"] != 1:
        parts.append(f"counted from {moment(form['anchor'], form['timezone'])}")
    if "end" in form:
        parts.append(f"until {moment(form['end'], form['timezone'])}")
    if "on_non_business" in form:
        parts.append(NON_BUSINESS[form["on_non_business"]])
    if "jitter_seconds" in form:
        parts.append(f"each delayed by less than {_count(form['jitter_seconds'], 'second')}")
    text = ", ".join(parts)
    if "dst_policy" in form:
        text += f"; {DST[form['dst_policy']]}"
    return text[0].upper() + text[1:] + "."


def _now(form: Mapping[str, Any]) -> str:
    return "once, as soon as it is accepted"


def _once(form: Mapping[str, Any]) -> str:
    day, at = form["at"].split("T")
    second = ", the second time the clock shows it" if form.get("fold") else ""
    return f"once, on {day} at {short_time(at)}{second}"


def _interval(form: Mapping[str, Any]) -> str:
    return "every " + _count(form["every"], form["unit"], bare=True) + " of elapsed time"


def _calendar(form: Mapping[str, Any]) -> str:
    every, unit, at = form["every"], form["unit"], short_time(form["at"])
    if unit == "day":
        return f"every {_count(every, 'day', bare=True)} at {at}"
    if unit == "week":
        days = [read_weekday(day, field="schedule.weekdays") for day in form.get("weekdays", [])]
        starts = "" if every == 1 else f", weeks starting on {_weekday(form['week_start'])}"
        return f"every {_count(every, 'week', bare=True)} on {_weekdays(frozenset(days))} at {at}{starts}"
    rule = read_month_day(form.get("month_day", 1), field="schedule.month_day")
    day = f"the {_nth(rule)}" if isinstance(rule, int) else special(rule, of_month=False)
    missing = ""
    if _may_be_missing(rule):
        match rule:
            case LastDay():
                clamp = "the 1st"
            case NthWeekday(weekday=weekday):
                clamp = f"the 4th {WEEKDAYS[weekday]}"
            case _:
                clamp = "the last day"
        missing = f" ({clamp} in a month without it)" if form["if_missing"] == "clamp" else " (months without it: none)"
    return f"on {day} of every {_count(every, 'month', bare=True)} at {at}{missing}"


def _may_be_missing(rule: int | LastDay | NthWeekday) -> bool:
    if isinstance(rule, int):
        return rule > 28
    return rule.nth == 5 if isinstance(rule, NthWeekday) else rule.before > 27


def _cron(form: Mapping[str, Any]) -> str:
    expression = parse(form["expression"])
    times = clock_times(expression)
    days = _days(expression)
    text = f"at {_and(times)}" if times else _pattern(expression)
    if days:
        text += f", {days}"
    elif times:
        text += " every day"
    if not expression.month.full:
        text += f", in {_and(_range(MONTHS[a - 1], MONTHS[b - 1]) for a, b in runs(expression.month.values))}"
    if not expression.year.full:
        text += f", in {_years(expression.year)}"
    return text


def _years(field: Field) -> str:
    found = runs(field.values)
    match pattern(field):
        case Stepped(step=step) | Every(step=step):
            return f"every {_nth(step)} year from {found[0][0]} to {found[-1][1]}"
    if len(found) > MOST_YEARS:
        return f"{len(field.values)} years from {found[0][0]} to {found[-1][1]}"
    return _and(_range(str(a), str(b)) for a, b in found)


_KINDS = {"now": _now, "once": _once, "interval": _interval, "calendar": _calendar, "cron": _cron}


def _pattern(expression: Expression) -> str:
    by_hour = hourly(expression)
    if by_hour:
        every = f"every {_count(by_hour.step, 'hour', bare=True)}"
        if by_hour.step == 1 and by_hour.all_day:
            return every + (f" at minute {by_hour.minute}" if by_hour.minute else ", on the hour")
        return f"{every} from {by_hour.first} to {by_hour.last}"
    second, minute, hour = (pattern(field) for field in (expression.second, expression.minute, expression.hour))
    said: list[str] = []
    if expression.second.values != {0}:
        said.append(_part(second, "second"))
    if not (said and minute == Every(1)):
        said.append(_part(minute, "minute"))
    elif not isinstance(second, Every):
        said[-1] += " of every minute"
    fine = isinstance(minute, Every) or isinstance(second, Every)
    match hour:
        case Every(step=1):
            if not isinstance(minute, Every):
                said[-1] += " of every hour"
        case Every(step=step):
            said.append(f"in every {_nth(step)} hour from 00:00 on")
        case Stepped(first=first, last=last, step=step):
            said.append(f"in every {_nth(step)} hour from {first:02}:00 to {last:02}:00")
        case Runs(runs=((first, last),)) if fine or first == last:
            said.append(f"from {first:02}:00 through {last:02}:59")
        case Runs(runs=found):
            said.append("in the hours " + _and(_range(f"{a:02}", f"{b:02}") for a, b in found))
    return ", ".join(said)


def _part(part: Every | Stepped | Runs, unit: str) -> str:
    match part:
        case Every(step=step):
            return f"every {_count(step, unit, bare=True)}"
        case Stepped(first=first, last=last, step=step):
            return f"every {step} {unit}s from {unit} {first} to {last}"
        case Runs(runs=found):
            plural = "" if part.one is not None else "s"
            return f"at {unit}{plural} " + _and(_range(str(a), str(b)) for a, b in found)


def _days(expression: Expression) -> str:
    """Empty when the expression fires on every day."""
    rule = expression.day_rule
    day = "" if expression.day.full else _month_days(expression.day)
    weekday = "" if expression.weekday.full else _weekday_field(expression.weekday)
    if rule == "or":
        if not day or not weekday:
            return "on every day (the days of the month OR the weekdays, and one of them is all)"
        return f"on {day} OR on {weekday} (one of them is enough)"
    if rule == "and" and day and weekday:
        return f"on {day} AND on {weekday} (both must hold)"
    return f"on {day or weekday}" if day or weekday else ""


def _month_days(field: Field) -> str:
    said: list[str] = []
    match pattern(field):
        case Stepped(first=first, last=last, step=step) if not field.specials:
            return f"every {_nth(step)} day of the month from the {_nth(first)} to the {_nth(last)}"
        case _:
            said += [_range(f"the {_nth(a)}", f"the {_nth(b)}") for a, b in runs(field.values)]
    said += [special(item, of_month=False) for item in field.specials]
    return _and(said) + " of the month"


def _weekday_field(field: Field) -> str:
    said = [_range(WEEKDAYS[a], WEEKDAYS[b]) for a, b in weekday_runs(field.values)]
    return _and(said + [special(item, of_month=True) for item in field.specials])


def special(item: DaySpecial, *, of_month: bool) -> str:
    match item:
        case NthWeekday(weekday=weekday, nth=nth):
            text = f"the {_nth(nth) if nth else 'last'} {WEEKDAYS[weekday]}"
        case NearestWeekday(day=day):
            text = f"the weekday (Monday to Friday) nearest to the {_nth(day)}"
        case LastDay(before=0, weekday=nearest):
            text = "the last weekday (Monday to Friday)" if nearest else "the last day"
        case LastDay(before=before, weekday=nearest):
            text = f"the {_nth(before)} day before the last"
            if nearest:
                text = f"the weekday (Monday to Friday) nearest to {text}"
    return text + (" of the month" if of_month else "")


def _weekday(name: str) -> str:
    return WEEKDAYS[read_weekday(name, field="schedule.week_start")]


def _weekdays(days: frozenset[int]) -> str:
    return _and(_range(WEEKDAYS[a], WEEKDAYS[b]) for a, b in weekday_runs(days)) or "the weekday of its start"


def _count(n: int, unit: str, *, bare: bool = False) -> str:
    """`bare`: the words follow "every", so 1 is left out."""
    return f"{n} {unit}s" if n != 1 else unit if bare else f"1 {unit}"


def _nth(n: int) -> str:
    suffix = "th" if 11 <= n % 100 <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"


def _range(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _and(items: Iterable[str]) -> str:
    *most, last = list(items) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def window(form: Mapping[str, Any], timezone: str) -> str:
    kind = form["type"]
    unit, n = form.get("unit", ""), form.get("n", 1)
    match kind:
        case "yesterday":
            text = "yesterday: the whole local day before the fire"
        case "last" if unit == "day":
            text = f"the last {_count(n, 'whole local day', bare=True)} before the day of the fire"
        case "last":
            text = f"the last {_count(n, unit, bare=True)} up to the start of the {unit} of the fire"
        case "rolling":
            text = f"the last {_count(n, unit, bare=True)} of elapsed time up to the fire"
        case "previous":
            text = f"the {_count(n, 'whole ' + unit, bare=True)} before the {unit} of the fire"
            if unit == "week":
                text += f", weeks starting on {_weekday(form['week_start'])}"
        case "to_date":
            until = "the start of its day" if form["until"] == "full_days" else "the fire"
            text = f"from the start of the fire's {unit} to {until}"
        case "since_previous_fire":
            text = "from the previous fire to this one"
        case "custom":
            text = f"from {_edge(form['start'])} to {_edge(form['end'])}"
        case _:
            edges = [moment(form[edge], timezone) for edge in ("start", "end")]
            text = f"always from {edges[0]} to {edges[1]} ({timezone})"
    text += ", the end excluded"
    if form.get("allow_empty"):
        text += "; runs also when that is empty"
    return text[0].upper() + text[1:] + "."


def _edge(edge: Mapping[str, Any]) -> str:
    base = f"the start of the fire's {edge['trunc']}" if "trunc" in edge else "the fire"
    if "offset" not in edge:
        return base
    side = "before" if edge["offset"] < 0 else "after"
    return f"{_count(abs(edge['offset']), edge['unit'])} {side} {base}"
