"""Conversions to and from EventBridge keep every fire, or are refused with the reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.core.schedules.eventbridge import from_eventbridge, rule_expression, to_eventbridge
from chalicelib.core.schedules.fires import upcoming
from chalicelib.errors import InvalidSchedule

START = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("cron(0 10 * * ? *)", "0 10 * * *"),
        ("0 10 * * ? *", "0 10 * * *"),
        ("CRON( 15 12 ? * sun,mon * )", "15 12 * * 0,1"),
        ("cron(0 9 ? * 2-6 *)", "0 9 * * 1-5"),
        ("cron(0 9 ? * 1 *)", "0 9 * * 0"),
        ("cron(0 9 ? * 2/2 *)", "0 9 * * 1-5/2"),  # 2, 4, 6 there
        ("cron(0 9 ? * 6L *)", "0 9 * * 5L"),
        ("cron(0 9 ? * L *)", "0 9 * * 6"),  # a bare L is Saturday there
        ("cron(0 9 ? * 2#1 *)", "0 9 * * 1#1"),
        ("cron(0 9 ? * TUE#3 *)", "0 9 * * 2#3"),
        ("cron(0 9 L * ? *)", "0 9 L * *"),
        ("cron(0 9 15W * ? *)", "0 9 15W * *"),
        ("cron(0 9 L-3 * ? *)", "0 9 L-3 * *"),
        ("cron(0 9 LW * ? *)", "0 9 LW * *"),
        ("cron(0 9 1 JAN ? 2027)", "0 0 9 1 1 * 2027"),
    ],
)
def test_cron_from_eventbridge(text: str, expression: str):
    assert from_eventbridge(text) == {"type": "cron", "expression": expression, "timezone": "UTC"}


@pytest.mark.parametrize(
    ("text", "every", "unit", "back"),
    [
        ("rate(5 minutes)", 5, "minute", "rate(5 minutes)"),
        ("rate(1 hour)", 1, "hour", "rate(1 hour)"),
        ("rate(2 days)", 48, "hour", "rate(2 days)"),
        ("rate(1 day)", 24, "hour", "rate(1 day)"),
        ("rate(60 minutes)", 60, "minute", "rate(1 hour)"),
    ],
)
def test_a_rate_is_an_interval(text: str, every: int, unit: str, back: str):
    schedule = from_eventbridge(text)

    assert schedule == {"type": "interval", "every": every, "unit": unit, "timezone": "UTC"}
    assert to_eventbridge(schedule) == back
    assert rule_expression({**schedule, "anchor": "2026-05-01T00:00:00Z"}) == back


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cron()",
        "cron(0 10 * * *)",  # five fields
        "cron(0 10 * * * *)",  # neither day is '?'
        "cron(0 10 ? * ? *)",
        "cron(0 10 ? * 0 *)",
        "cron(0 10 ? * 8 *)",
        "cron(0 10 ? * 2#1,3#1 *)",
        "cron(0 10 1,L * ? *)",
        "cron(0 10 1,L-3 * ? *)",
        "cron(0 10 L-3W * ? *)",
        "cron(0 10 L-31 * ? *)",
        "cron(0 10 15W,L * ? *)",
        "cron(0 10 ?/2 * ? *)",  # a '?' stands alone
        "cron(0 10 ?,5 * ? *)",
        "cron(0 10 ? * ?/2 *)",
        "cron(0 10 * * ?/2 *)",
        "cron(60 10 * * ? *)",
        "rate(0 minutes)",
        "rate(5 seconds)",
        "rate(five minutes)",
        "rate(1.5 hours)",
        "at(2026-05-01T00:00:00)",
        "every(5 minutes)",
    ],
)
def test_text_of_another_form_is_refused(text: str):
    with pytest.raises(InvalidSchedule) as refusal:
        from_eventbridge(text)

    assert refusal.value.field == "schedule.expression"


DAILY = {"type": "calendar", "every": 1, "unit": "day", "at": "09:30"}
MONTHLY = {"type": "calendar", "every": 1, "unit": "month", "at": "09:30"}


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ({"type": "cron", "expression": "0 9 * * 1-5"}, "cron(0 9 ? * MON-FRI *)"),
        ({"type": "cron", "expression": "*/15 * * * *"}, "cron(*/15 * * * ? *)"),
        # A step as long as the field is refused there: it is one value.
        ({"type": "cron", "expression": "0 */24 * * *"}, "cron(0 0 * * ? *)"),
        ({"type": "cron", "expression": "0 */24,5 * * *"}, "cron(0 0,5 * * ? *)"),
        ({"type": "cron", "expression": "*/60,7 */23 * * *"}, "cron(0,7 */23 * * ? *)"),
        ({"type": "cron", "expression": "0 0 */31,5 * *"}, "cron(0 0 1,5 * ? *)"),
        ({"type": "cron", "expression": "0 9 L-3 * *"}, "cron(0 9 L-3 * ? *)"),
        ({"type": "cron", "expression": "0 9 L-30 * *"}, "cron(0 9 L-30 * ? *)"),
        ({"type": "cron", "expression": "0 0 1 1,7 *"}, "cron(0 0 1 1,7 ? *)"),
        ({"type": "cron", "expression": "0 9 * * 1#1"}, "cron(0 9 ? * 2#1 *)"),
        ({"type": "cron", "expression": "0 9 * * 5L"}, "cron(0 9 ? * 6L *)"),
        ({"type": "cron", "expression": "0 9 LW * *"}, "cron(0 9 LW * ? *)"),
        ({"type": "cron", "expression": "0 9 1-31 * 1"}, "cron(0 9 * * ? *)"),  # one side alone meets every date
        ({"type": "cron", "expression": "0 0 9 * * * 2027-2030"}, "cron(0 9 * * ? 2027-2030)"),
        ({"type": "cron", "expression": "*/90 * * * *"}, "cron(0 * * * ? *)"),
        ({"type": "cron", "expression": "0 9 * * *", "timezone": "Etc/UTC"}, "cron(0 9 * * ? *)"),
        (DAILY, "cron(30 9 * * ? *)"),
        ({**DAILY, "unit": "week", "weekdays": ["MON", "SUN"]}, "cron(30 9 ? * SUN,MON *)"),
        ({**MONTHLY, "month_day": 5}, "cron(30 9 5 * ? *)"),
        ({**MONTHLY, "month_day": 31}, "cron(30 9 L * ? *)"),
        ({**MONTHLY, "month_day": 31, "if_missing": "skip"}, "cron(30 9 31 * ? *)"),
        ({**MONTHLY, "month_day": "TUE#2"}, "cron(30 9 ? * 3#2 *)"),
        ({**MONTHLY, "month_day": "last-weekday"}, "cron(30 9 LW * ? *)"),
    ],
)
def test_the_way_there_and_back_keeps_every_fire(schedule: dict[str, object], text: str):
    assert to_eventbridge(schedule) == text
    there_and_back = from_eventbridge(text)
    assert upcoming(there_and_back, after=START, count=50) == upcoming(schedule, after=START, count=50)


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        ({"type": "now"}, "schedule.type"),
        ({"type": "once", "at": "2026-05-01T00:00:00"}, "schedule.type"),
        ({"type": "cron", "expression": "0 9 * * *", "timezone": "Asia/Tokyo"}, "schedule.timezone"),
        ({"type": "cron", "expression": "0 9 * * *", "start": "2026-05-01"}, "schedule.start"),
        ({"type": "cron", "expression": "0 9 * * *", "end": "2026-05-01"}, "schedule.end"),
        ({"type": "cron", "expression": "0 9 * * *", "jitter_seconds": 5}, "schedule.jitter_seconds"),
        ({"type": "cron", "expression": "0 9 * * *", "on_non_business": "skip"}, "schedule.on_non_business"),
        ({"type": "cron", "expression": "30 0 9 * * *"}, "schedule.expression"),
        ({"type": "cron", "expression": "0 9 13 * 5"}, "schedule.expression"),
        ({"type": "cron", "expression": "0 9 */2 * 5"}, "schedule.expression"),
        ({"type": "cron", "expression": "0 9 L-3W * *"}, "schedule.expression"),
        ({"type": "cron", "expression": "0 9 1,L * *"}, "schedule.expression"),
        ({"type": "cron", "expression": "0 9 * * 1#1,2#1"}, "schedule.expression"),
        ({"type": "interval", "every": 90, "unit": "second"}, "schedule.every"),
        ({"type": "interval", "every": 5, "unit": "minute", "anchor": "2026-05-01T00:02:00Z"}, "schedule.anchor"),
        ({**DAILY, "every": 2}, "schedule.every"),
        ({**DAILY, "at": "09:30:15"}, "schedule.expression"),
        ({**DAILY, "unit": "week"}, "schedule.weekdays"),
        (MONTHLY, "schedule.month_day"),
        ({**MONTHLY, "month_day": 30}, "schedule.if_missing"),
        ({**MONTHLY, "month_day": "TUE#5"}, "schedule.if_missing"),
    ],
)
def test_an_expression_that_eventbridge_reads_differently_is_refused(schedule: dict[str, object], field: str):
    with pytest.raises(InvalidSchedule) as refusal:
        to_eventbridge(schedule)

    assert refusal.value.field == field


def test_a_rate_keeps_counting_elapsed_time():
    fires = upcoming({**from_eventbridge("rate(1 day)"), "anchor": "2026-05-01T10:30:00Z"}, after=START, count=3)

    assert fires == [START + timedelta(days=k, hours=10, minutes=30) for k in range(3)]
