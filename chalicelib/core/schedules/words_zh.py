"""Schedules and windows in Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chalicelib.core.schedules.cron import Expression, parse
from chalicelib.core.schedules.cron_fields import DaySpecial, Field, LastDay, NearestWeekday, NthWeekday
from chalicelib.core.schedules.recurrence import read_month_day, read_weekday
from chalicelib.core.schedules.word_facts import (
    MOST_YEARS,
    Every,
    Pattern,
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

WEEKDAYS = ("周日", "周一", "周二", "周三", "周四", "周五", "周六", "周日")
UNITS = {
    "second": "秒",
    "minute": "分钟",
    "hour": "小时",
    "day": "天",
    "week": "周",
    "month": "个月",
    "quarter": "个季度",
    "year": "年",
}
PERIODS = {"week": "周", "month": "月", "quarter": "季度", "year": "年"}
MOMENTS = {"second": "秒", "minute": "分钟", "hour": "小时", "day": "日"} | PERIODS

DST = {
    "literal": "时钟调整时，被跳过的时刻不执行，重复出现的时刻执行两次",
    "skip_once": "时钟调整时，被跳过的时刻不执行，重复出现的时刻只在第一次执行",
}
NON_BUSINESS = {
    "skip": "非工作日不执行",
    "next": "遇非工作日顺延至下一个工作日",
    "previous": "遇非工作日提前至上一个工作日",
    "modified_following": "遇非工作日顺延至当月的下一个工作日，若已跨月则提前至上一个工作日",
}


def schedule(form: Mapping[str, Any]) -> str:
    parts = [_KINDS[form["type"]](form)]
    if "start" in form:
        parts.append(f"自 {moment(form['start'], form['timezone'])} 起")
    elif "anchor" in form and form["every"] != 1:
        parts.append(f"自 {moment(form['anchor'], form['timezone'])} 起计")
    if "end" in form:
        parts.append(f"至 {moment(form['end'], form['timezone'])} 止")
    if "on_non_business" in form:
        parts.append(NON_BUSINESS[form["on_non_business"]])
    if "jitter_seconds" in form:
        parts.append(f"每次随机延后不到 {form['jitter_seconds']} 秒")
    text = "，".join(parts)
    if "dst_policy" in form:
        text += f"；{DST[form['dst_policy']]}"
    if names_zone(form):
        text += f"（时区 {form['timezone']}）"
    return _spaced(text + "。")


def _spaced(text: str) -> str:
    """One space between Chinese and Latin or digits, none around Chinese punctuation."""
    text = re.sub(r"(?<=[\u4e00-\u9fff])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[\u4e00-\u9fff])", " ", text)
    return re.sub(r" ?([，；。（）、]) ?", r"\1", re.sub(r" {2,}", " ", text))


def _now(form: Mapping[str, Any]) -> str:
    return "提交后立即执行一次"


def _once(form: Mapping[str, Any]) -> str:
    day, at = form["at"].split("T")
    second = "（该时刻第二次出现时）" if form.get("fold") else ""
    return f"于 {day} {short_time(at)}{second}执行一次"


def _interval(form: Mapping[str, Any]) -> str:
    every = "" if form["every"] == 1 else form["every"]
    return f"每{every}{UNITS[form['unit']]}执行一次（按实际经过时间）"


def _calendar(form: Mapping[str, Any]) -> str:
    every, unit, at = form["every"], form["unit"], short_time(form["at"])
    if unit == "day":
        return f"{'每天' if every == 1 else f'每 {every} 天'} {at} 执行"
    if unit == "week":
        days = frozenset(read_weekday(day, field="schedule.weekdays") for day in form.get("weekdays", []))
        names = _weekday_list(days) or "起始日对应的星期"
        if every == 1:
            return f"每{names} {at} 执行" if days else f"每周{names} {at} 执行"
        return f"每 {every} 周的{names} {at} 执行（每周从{_weekday(form['week_start'])}开始）"
    rule = read_month_day(form.get("month_day", 1), field="schedule.month_day")
    day = f" {rule} 日" if isinstance(rule, int) else special(rule)
    head = "每月" if every == 1 else f"每 {every} 个月的"
    missing = ""
    if _may_be_missing(rule):
        match rule:
            case LastDay():
                clamp = " 1 日"
            case NthWeekday(weekday=weekday):
                clamp = f"第四个{WEEKDAYS[weekday]}"
            case _:
                clamp = "最后一天"
        missing = f"（当月没有该日时改为{clamp}）" if form["if_missing"] == "clamp" else "（当月没有该日时不执行）"
    return f"{head}{day} {at} 执行{missing}"


def _may_be_missing(rule: int | LastDay | NthWeekday) -> bool:
    if isinstance(rule, int):
        return rule > 28
    return rule.nth == 5 if isinstance(rule, NthWeekday) else rule.before > 27


def _cron(form: Mapping[str, Any]) -> str:
    expression = parse(form["expression"])
    head = ""
    if not expression.year.full:
        head += _years(expression.year)
    if not expression.month.full:
        head += "、".join(_range(f"{a}", f"{b}") for a, b in runs(expression.month.values)) + " 月"
    days = _days(expression, in_month=not expression.month.full)
    times = clock_times(expression)
    if times:
        return f"{head}{days or '每天'} {'、'.join(times)} 执行"
    text = "，".join(part for part in (f"{head}{days}", _pattern(expression)) if part)
    return text if text.endswith(("执行", "执行一次")) else f"{text}执行"


def _years(field: Field) -> str:
    found = runs(field.values)
    match pattern(field):
        case Stepped(step=step) | Every(step=step):
            return f"{found[0][0]} 至 {found[-1][1]} 年间每 {step} 年，"
    if len(found) > MOST_YEARS:
        return f"{found[0][0]} 至 {found[-1][1]} 年间共 {len(field.values)} 年，"
    return "、".join(_range(f"{a}", f"{b}") for a, b in found) + " 年"


_KINDS = {"now": _now, "once": _once, "interval": _interval, "calendar": _calendar, "cron": _cron}


def _pattern(expression: Expression) -> str:
    by_hour = hourly(expression)
    if by_hour:
        if by_hour.step == 1 and by_hour.all_day:
            return f"每小时的第 {by_hour.minute} 分" if by_hour.minute else "每小时整点"
        every = "每小时" if by_hour.step == 1 else f"每 {by_hour.step} 小时"
        return f"{by_hour.first} 至 {by_hour.last} {every}执行一次"
    second, minute, hour = (pattern(field) for field in (expression.second, expression.minute, expression.hour))
    listed = not isinstance(minute, Every)
    said = _hours(hour, listed=listed)
    with_seconds = expression.second.values != {0}
    if not (with_seconds and minute == Every(1)):
        said += _part(minute, "每 {} 分钟", "分")
        if with_seconds:
            said += "的" if listed else "，"
    elif not isinstance(second, Every):
        said += "每分钟的"
    if with_seconds:
        said += _part(second, "每 {} 秒", "秒")
    finest = second if with_seconds else minute
    return f"{said}执行一次" if isinstance(finest, Every) else f"{said}执行"


def _hours(hour: Pattern, *, listed: bool) -> str:
    """`listed`: the minutes are named one by one, so a particle joins them to the hours."""
    match hour:
        case Every(step=1):
            return "每小时的" if listed else ""
        case Every(step=step):
            return f"从 0 点起每 {step} 小时，该小时内" + ("的" if listed else "")
        case Stepped(first=first, last=last, step=step):
            return f"{first} 点至 {last} 点每 {step} 小时，该小时内" + ("的" if listed else "")
        case Runs(runs=((first, last),)):
            return f"{first} 点至 {last} 点 59 分之间" + ("每小时的" if listed and first != last else "")
        case Runs(runs=found):
            return "、".join(_range(f"{a} 点", f"{b} 点") for a, b in found) + ("的" if listed else "内")


def _part(part: Every | Stepped | Runs, every: str, unit: str) -> str:
    match part:
        case Every(step=1):
            return every.replace(" {} ", "")
        case Every(step=step):
            return every.format(step)
        case Stepped(first=first, last=last, step=step):
            return f"第 {first} 至 {last} {unit}之间{every.format(step)}"
        case Runs(runs=found):
            return "第 " + "、".join(_range(str(a), str(b)) for a, b in found) + f" {unit}"


def _days(expression: Expression, *, in_month: bool) -> str:
    """Empty when the expression fires on every day."""
    rule = expression.day_rule
    month = "" if in_month else "每月"
    day = "" if expression.day.full else month + _month_days(expression.day)
    weekday = "" if expression.weekday.full else _weekday_field(expression.weekday, every="每", in_month=in_month)
    if rule == "or":
        if not day or not weekday:
            return "每天（日期与星期满足其一即可，其中一项为全部）"
        if in_month:
            either = _weekday_field(expression.weekday, every="每个", in_month=True)
            return f"内的{day}或{either.removeprefix('的')}（满足其一即可）"
        return f"{day}或{weekday}（满足其一即可）"
    if rule == "and" and day and weekday:
        return f"{day}且为{_weekday_field(expression.weekday, every='', in_month=False)}（须同时满足）"
    if in_month and not day and not weekday:
        return "每天"
    return day or weekday


def _month_days(field: Field) -> str:
    match pattern(field):
        case Stepped(first=first, last=last, step=step) if not field.specials:
            return f" {first} 日至 {last} 日之间每 {step} 天一次"
        case _:
            said = [_range(f" {a} 日", f" {b} 日") for a, b in runs(field.values)]
    return "、".join(said + [special(item) for item in field.specials])


def _weekday_field(field: Field, *, every: str, in_month: bool) -> str:
    """`every`: the word before a weekday, if any. `in_month`: the months are named before it."""
    month = "" if in_month else f"{every or '当'}月"
    said = [every + _weekday_list(field.values)] if field.values else []
    said += [month + special(item) for item in field.specials]
    return ("的" if in_month and not field.values else "") + "、".join(said)


def _weekday_list(days: frozenset[int]) -> str:
    return "、".join(_range(WEEKDAYS[a], WEEKDAYS[b]) for a, b in weekday_runs(days))


def special(item: DaySpecial) -> str:
    match item:
        case NthWeekday(weekday=weekday, nth=0):
            return f"最后一个{WEEKDAYS[weekday]}"
        case NthWeekday(weekday=weekday, nth=nth):
            return f"第{_NUMBERS[nth]}个{WEEKDAYS[weekday]}"
        case NearestWeekday(day=day):
            return f"最接近 {day} 日的工作日（周一至周五）"
        case LastDay(before=0, weekday=nearest):
            return "最后一个工作日（周一至周五）" if nearest else "最后一天"
        case LastDay(before=before, weekday=nearest):
            text = f"倒数第 {before + 1} 天"
            return f"最接近{text}的工作日（周一至周五）" if nearest else text


_NUMBERS = ("", "一", "二", "三", "四", "五")


def _weekday(name: str) -> str:
    return WEEKDAYS[read_weekday(name, field="schedule.week_start")]


def _range(first: str, last: str) -> str:
    return first if first == last else f"{first}至{last}"


def window(form: Mapping[str, Any], timezone: str) -> str:
    kind = form["type"]
    unit, n = form.get("unit", ""), form.get("n", 1)
    match kind:
        case "yesterday":
            text = "触发前一天的全天"
        case "last" if unit == "day":
            text = f"触发当天之前的 {n} 个整天"
        case "last":
            text = f"截至触发时刻所在{UNITS[unit]}起点的前 {n} {'个' if unit == 'hour' else ''}{UNITS[unit]}"
        case "rolling":
            text = f"截至触发时刻的 {n} {'个' if unit == 'hour' else ''}{UNITS[unit]}（按实际经过时间）"
        case "previous":
            text = f"上一个完整的{PERIODS[unit]}" if n == 1 else f"之前 {n} 个完整的{PERIODS[unit]}"
            if unit == "week":
                text += f"（每周从{_weekday(form['week_start'])}开始）"
        case "to_date":
            until = "触发当天零点" if form["until"] == "full_days" else "触发时刻"
            text = f"触发时刻所在{MOMENTS[unit]}的起点至{until}"
        case "since_previous_fire":
            text = "上一次触发时刻至本次触发时刻"
        case "custom":
            text = f"{_edge(form['start'])}至{_edge(form['end'])}"
        case _:
            edges = [moment(form[edge], timezone) for edge in ("start", "end")]
            text = f"固定为 {edges[0]} 至 {edges[1]}（时区 {timezone}）"
    text += "，不含终点"
    if form.get("allow_empty"):
        text += "，范围为空时也执行"
    return _spaced(text + "。")


def _edge(edge: Mapping[str, Any]) -> str:
    base = f"触发时刻所在{MOMENTS[edge['trunc']]}的起点" if "trunc" in edge else "触发时刻"
    if "offset" not in edge:
        return base
    side = "前" if edge["offset"] < 0 else "后"
    return f"{base}{side} {abs(edge['offset'])} {UNITS[edge['unit']]}"
