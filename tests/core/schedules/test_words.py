"""Descriptions say what will happen, in the language asked for and in no other."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from chalicelib.core.schedules.words import LANGUAGES, describe, describe_window
from chalicelib.errors import Invalid
from tests.core.schedules.expressions import known


def cron(expression: str, **over: Any) -> dict[str, Any]:
    return {"type": "cron", "expression": expression, "timezone": "Asia/Shanghai", **over}


INTERVAL = {"type": "interval", "every": 2, "unit": "hour"}


@pytest.mark.parametrize(
    ("expression", "en", "zh"),
    [
        ("* * * * *", "Every minute", "每分钟执行一次"),
        ("*/15 * * * *", "Every 15 minutes", "每 15 分钟执行一次"),
        ("5-5 * * * *", "Every hour at minute 5", "每小时的第 5 分执行"),
        ("0 * * * *", "Every hour, on the hour", "每小时整点执行"),
        ("30 2 * * *", "At 02:30 every day", "每天 02:30 执行"),
        ("0 9,12 * * *", "At 09:00 and 12:00 every day", "每天 09:00、12:00 执行"),
        ("0 9 * * MON-FRI", "At 09:00, on Monday to Friday", "每周一至周五 09:00 执行"),
        ("0 9 * * 5,7", "At 09:00, on Friday and Sunday", "每周五、周日 09:00 执行"),
        (
            "*/5 8-17 * * 1-5",
            "Every 5 minutes, from 08:00 through 17:59, on Monday to Friday",
            "每周一至周五，8 点至 17 点 59 分之间每 5 分钟执行一次",
        ),
        ("0 8-17 * * *", "Every hour from 08:00 to 17:00", "08:00 至 17:00 每小时执行一次"),
        ("15 */2 * * *", "Every 2 hours from 00:15 to 22:15", "00:15 至 22:15 每 2 小时执行一次"),
        (
            "*/7 * * * *",
            "Every 7 minutes from minute 0 to 56 of every hour",
            "每小时的第 0 至 56 分之间每 7 分钟执行",
        ),
        ("0 0 1,15 * *", "At 00:00, on the 1st and the 15th of the month", "每月 1 日、15 日 00:00 执行"),
        ("0 0 L * *", "At 00:00, on the last day of the month", "每月最后一天 00:00 执行"),
        (
            "0 0 LW * *",
            "At 00:00, on the last weekday (Monday to Friday) of the month",
            "每月最后一个工作日（周一至周五）00:00 执行",
        ),
        ("0 0 L-2 * *", "At 00:00, on the 2nd day before the last of the month", "每月倒数第 3 天 00:00 执行"),
        (
            "0 0 15W * *",
            "At 00:00, on the weekday (Monday to Friday) nearest to the 15th of the month",
            "每月最接近 15 日的工作日（周一至周五）00:00 执行",
        ),
        ("0 9 * * TUE#2", "At 09:00, on the 2nd Tuesday of the month", "每月第二个周二 09:00 执行"),
        ("0 9 * * 5L", "At 09:00, on the last Friday of the month", "每月最后一个周五 09:00 执行"),
        ("0 0 1 1 *", "At 00:00, on the 1st of the month, in January", "1 月 1 日 00:00 执行"),
        ("0 0 12 * 6-8 * 2027", "At 12:00 every day, in June to August, in 2027", "2027 年 6 至 8 月每天 12:00 执行"),
        ("*/10 * * * * *", "Every 10 seconds", "每 10 秒执行一次"),
        ("30 * * * * *", "At second 30 of every minute", "每分钟的第 30 秒执行"),
        ("0 0 * 6 MON#1", "At 00:00, on the 1st Monday of the month, in June", "6 月的第一个周一 00:00 执行"),
        (
            "0 0 * 6 MON#1,2",
            "At 00:00, on Tuesday and the 1st Monday of the month, in June",
            "6 月每周二、第一个周一 00:00 执行",
        ),
        (
            "0 0 0 1 1 * 2026/2",
            "At 00:00, on the 1st of the month, in January, in every 2nd year from 2026 to 2198",
            "2026 至 2198 年间每 2 年，1 月 1 日 00:00 执行",
        ),
        (
            "0 0 0 1 1 * 2001,2004,2006,2009,2011,2014,2016,2019,2021,2024,2026,2029,2031",
            "At 00:00, on the 1st of the month, in January, in 13 years from 2001 to 2031",
            "2001 至 2031 年间共 13 年，1 月 1 日 00:00 执行",
        ),
        # Both kinds of day: which rule applies is said, and in which months.
        (
            "0 0 29 2 1",
            "At 00:00, on the 29th of the month OR on Monday (one of them is enough), in February",
            "2 月内的 29 日或每个周一（满足其一即可）00:00 执行",
        ),
        (
            "0 0 29 2 1#1",
            "At 00:00, on the 29th of the month OR on the 1st Monday of the month (one of them is enough), in February",
            "2 月内的 29 日或第一个周一（满足其一即可）00:00 执行",
        ),
        (
            "0 0 13 * 5",
            "At 00:00, on the 13th of the month OR on Friday (one of them is enough)",
            "每月 13 日或每周五（满足其一即可）00:00 执行",
        ),
        (
            "0 0 1-7 * */7",
            "At 00:00, on the 1st to the 7th of the month AND on Sunday (both must hold)",
            "每月 1 日至 7 日且为周日（须同时满足）00:00 执行",
        ),
    ],
)
def test_expressions_in_words(expression: str, en: str, zh: str):
    assert describe(cron(expression), "en") == f"{en} (Asia/Shanghai)."
    assert describe(cron(expression), "zh") == f"{zh}（时区 Asia/Shanghai）。"


@pytest.mark.parametrize(
    ("schedule", "en", "zh"),
    [
        ({"type": "now"}, "Once, as soon as it is accepted.", "提交后立即执行一次。"),
        (
            {"type": "once", "at": "2026-11-01T01:30:00", "fold": 1, "timezone": "America/New_York"},
            "Once, on 2026-11-01 at 01:30, the second time the clock shows it (America/New_York).",
            "于 2026-11-01 01:30（该时刻第二次出现时）执行一次（时区 America/New_York）。",
        ),
        (
            {"type": "interval", "every": 15, "unit": "minute", "end": "2026-06-01T00:00:00Z"},
            "Every 15 minutes of elapsed time (UTC), until 2026-06-01 00:00.",
            "每 15 分钟执行一次（按实际经过时间），至 2026-06-01 00:00 止（时区 UTC）。",
        ),
        (INTERVAL, "Every 2 hours of elapsed time.", "每 2 小时执行一次（按实际经过时间）。"),
        (
            # As a clock of the zone shows it, with the offset where it shows that time twice.
            {**INTERVAL, "anchor": "2026-11-01T06:30:00Z", "end": "2026-12-31", "timezone": "America/New_York"},
            "Every 2 hours of elapsed time (America/New_York), counted from 2026-11-01 01:30 -05:00, "
            "until 2026-12-31 23:59:59.",
            "每 2 小时执行一次（按实际经过时间），自 2026-11-01 01:30 -05:00 起计，至 2026-12-31 23:59:59 止"
            "（时区 America/New_York）。",
        ),
        (
            {"type": "calendar", "every": 1, "unit": "day", "at": "02:00:00"},
            "Every day at 02:00 (UTC).",
            "每天 02:00 执行（时区 UTC）。",
        ),
        (
            {"type": "calendar", "every": 2, "unit": "week", "at": "02:00:05", "weekdays": ["FRI", "MON"]},
            "Every 2 weeks on Monday and Friday at 02:00:05, weeks starting on Monday (UTC).",
            "每 2 周的周一、周五 02:00:05 执行（每周从周一开始）（时区 UTC）。",
        ),
        (
            {"type": "calendar", "every": 1, "unit": "month", "at": "02:00", "month_day": 31},
            "On the 31st of every month at 02:00 (the last day in a month without it) (UTC).",
            "每月 31 日 02:00 执行（当月没有该日时改为最后一天）（时区 UTC）。",
        ),
        (
            {"type": "calendar", "every": 1, "unit": "month", "at": "02:00", "month_day": "FRI#5"},
            "On the 5th Friday of every month at 02:00 (the 4th Friday in a month without it) (UTC).",
            "每月第五个周五 02:00 执行（当月没有该日时改为第四个周五）（时区 UTC）。",
        ),
        (
            {"type": "calendar", "every": 3, "unit": "month", "at": "02:00", "month_day": "FRI#last"},
            "On the last Friday of every 3 months at 02:00 (UTC).",
            "每 3 个月的最后一个周五 02:00 执行（时区 UTC）。",
        ),
        (
            cron("0 9 * * *", dst_policy="literal", on_non_business="next", jitter_seconds=30, start="2026-05-01"),
            "At 09:00 every day (Asia/Shanghai), from 2026-05-01 00:00, on the next working day instead of a day "
            "off, each delayed by less than 30 seconds; a local time that a clock change skips does not fire, one that "
            "comes twice fires twice.",
            "每天 09:00 执行，自 2026-05-01 00:00 起，遇非工作日顺延至下一个工作日，每次随机延后不到 30 秒；"
            "时钟调整时，被跳过的时刻不执行，重复出现的时刻执行两次（时区 Asia/Shanghai）。",
        ),
    ],
)
def test_schedules_in_words(schedule: dict[str, Any], en: str, zh: str):
    assert describe(schedule, "en") == en
    assert describe(schedule, "zh") == zh


WINDOWS = [
    ({"type": "yesterday"}, "Yesterday: the whole local day before the fire", "触发前一天的全天"),
    (
        {"type": "last_days", "n": 7},
        "The last 7 whole local days before the day of the fire",
        "触发当天之前的 7 个整天",
    ),
    (
        {"type": "last_hour"},
        "The last hour up to the start of the hour of the fire",
        "截至触发时刻所在小时起点的前 1 个小时",
    ),
    (
        {"type": "rolling_hours", "n": 2},
        "The last 2 hours of elapsed time up to the fire",
        "截至触发时刻的 2 个小时（按实际经过时间）",
    ),
    (
        {"type": "rolling", "n": 1, "unit": "day"},
        "The last day of elapsed time up to the fire",
        "截至触发时刻的 1 天（按实际经过时间）",
    ),
    ({"type": "previous_months", "n": 2}, "The 2 whole months before the month of the fire", "之前 2 个完整的月"),
    (
        {"type": "previous_week"},
        "The whole week before the week of the fire, weeks starting on Monday",
        "上一个完整的周（每周从周一开始）",
    ),
    (
        {"type": "month_to_date"},
        "From the start of the fire's month to the start of its day",
        "触发时刻所在月的起点至触发当天零点",
    ),
    ({"type": "since_previous_fire"}, "From the previous fire to this one", "上一次触发时刻至本次触发时刻"),
    (
        {"type": "custom", "start": {"trunc": "day", "offset": -1}, "end": {}},
        "From 1 day before the start of the fire's day to the fire",
        "触发时刻所在日的起点前 1 天至触发时刻",
    ),
    (
        {"type": "fixed", "start": "2026-01-01", "end": "2026-02-01"},
        "Always from 2026-01-01 00:00 to 2026-02-01 00:00 (UTC)",
        "固定为 2026-01-01 00:00 至 2026-02-01 00:00（时区 UTC）",
    ),
]


@pytest.mark.parametrize(("window", "en", "zh"), WINDOWS)
def test_windows_in_words(window: dict[str, Any], en: str, zh: str):
    assert describe_window(window, "en") == f"{en}, the end excluded."
    assert describe_window(window, "zh") == f"{zh}，不含终点。"
    assert describe_window({**window, "allow_empty": True}, "en").endswith("; runs also when that is empty.")


@pytest.mark.parametrize("seed", range(60))
def test_every_expression_has_words_in_its_language_only(seed: int):
    schedule = cron(known(random.Random(seed)).text)

    en, zh = describe(schedule, "en"), describe(schedule, "zh").replace("Asia/Shanghai", "")

    assert en.isascii()
    assert not re.search("[A-Za-z]", zh)
    assert "  " not in en + zh
    assert zh.endswith("。")


def test_words_come_from_the_canonical_form():
    for language in LANGUAGES:
        assert describe(cron("0 0 9 ? * mon-fri"), language) == describe(cron("0 9 * * 1-5"), language)


def test_other_languages_are_refused():
    with pytest.raises(Invalid):
        describe({"type": "now"}, "tlh")


def test_the_edges_of_a_fixed_window_are_told_in_the_zone_of_the_schedule():
    window = {"type": "fixed", "start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}

    assert describe_window(window, "en", timezone="Asia/Shanghai") == (
        "Always from 2026-01-01 08:00 to 2026-02-01 08:00 (Asia/Shanghai), the end excluded."
    )
