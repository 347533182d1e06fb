"""The dates of expressions and of kind `calendar`, against a look at every date."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import islice, takewhile

import pytest

from chalicelib.core.schedules.cron import canonical, parse
from chalicelib.core.schedules.fires import upcoming
from tests.core.schedules.expressions import known

FIRST, LAST = date(2023, 12, 1), date(2028, 4, 1)
ALL = [FIRST + timedelta(days=k) for k in range((LAST - FIRST).days)]


@pytest.mark.parametrize("seed", range(120))
def test_an_expression_fires_on_the_dates_that_meet_it(seed: int):
    expression = known(random.Random(seed))
    expected = [day for day in ALL if day.month in expression.months and expression.day(day)]

    assert list(takewhile(lambda day: day < LAST, parse(expression.text).dates(FIRST))) == expected
    assert list(takewhile(lambda day: day < LAST, parse(canonical(expression.text)).dates(FIRST))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29"]),
        ("0 0 29 2 */7", ["2032-02-29", "2060-02-29"]),  # on a Sunday only: 28 years
        ("0 0 31W * *", ["2026-01-30", "2026-03-31"]),  # February has no day 31
        ("0 0 1W * *", ["2026-01-01", "2026-02-02"]),  # 1 February 2026 is a Sunday
        ("0 0 1W 8 *", ["2026-08-03", "2027-08-02"]),  # 1 August 2026 is a Saturday: never into July
        ("0 0 31W 5 *", ["2026-05-29", "2027-05-31"]),  # 31 May 2026 is a Sunday: never into June
        ("0 0 1 * 5#3", ["2026-01-01", "2026-01-16"]),  # OR, also with '#'
        ("0 0 0 1 1 * 2030-2031", ["2030-01-01", "2031-01-01"]),
        ("0 0 0 1 1 * 1999", []),
        ("0 0 30 2 *", []),
        ("0 0 30W 2 *", []),
        ("0 0 L-30 4 *", []),
    ],
)
def test_rare_dates(text: str, expected: list[str]):
    found = islice(parse(text).dates(date(2026, 1, 1)), 2)

    assert [day.isoformat() for day in found] == expected


CALENDAR = [
    # Dates count from the anchor: 31 Jan, 28 Feb, 31 Mar.
    ({"unit": "month", "every": 1, "month_day": 31}, "2026-01-31", ["2026-01-31", "2026-02-28", "2026-03-31"]),
    ({"unit": "month", "every": 1}, "2026-01-31", ["2026-01-31", "2026-02-28", "2026-03-31"]),
    (
        {"unit": "month", "every": 1, "month_day": 31, "if_missing": "skip"},
        "2026-01-31",
        ["2026-01-31", "2026-03-31", "2026-05-31"],
    ),
    ({"unit": "month", "every": 3, "month_day": 1}, "2026-02-10", ["2026-05-01", "2026-08-01"]),
    ({"unit": "month", "every": 12, "month_day": 29}, "2024-02-29", ["2024-02-29", "2025-02-28", "2026-02-28"]),
    ({"unit": "month", "every": 1, "month_day": "last"}, "2026-01-01", ["2026-01-31", "2026-02-28"]),
    ({"unit": "month", "every": 1, "month_day": "last-3"}, "2026-01-01", ["2026-01-28", "2026-02-25"]),
    ({"unit": "month", "every": 1, "month_day": "last-30"}, "2026-01-01", ["2026-01-01", "2026-02-01"]),
    ({"unit": "month", "every": 1, "month_day": "tue#2"}, "2026-01-01", ["2026-01-13", "2026-02-10"]),
    ({"unit": "month", "every": 1, "month_day": "second tuesday"}, "2026-01-01", ["2026-01-13", "2026-02-10"]),
    ({"unit": "month", "every": 1, "month_day": "fri#5"}, "2026-01-01", ["2026-01-30", "2026-02-27"]),
    (
        {"unit": "month", "every": 1, "month_day": "fri#5", "if_missing": "skip"},
        "2026-01-01",
        ["2026-01-30", "2026-05-29"],
    ),
    ({"unit": "month", "every": 1, "month_day": "last-fri"}, "2026-01-01", ["2026-01-30", "2026-02-27"]),
    ({"unit": "month", "every": 1, "month_day": "last-weekday"}, "2026-01-01", ["2026-01-30", "2026-02-27"]),
    ({"unit": "day", "every": 1}, "2026-02-27", ["2026-02-27", "2026-02-28", "2026-03-01"]),
    ({"unit": "day", "every": 10}, "2026-02-25", ["2026-02-25", "2026-03-07"]),
    (
        {"unit": "week", "every": 1, "weekdays": ["FRI", "mon", "Wednesday"]},
        "2026-01-01",
        ["2026-01-02", "2026-01-05", "2026-01-07"],
    ),
    # 1 January 2026 is a Thursday: its week has Sunday the 4th at the end, or at the start of the next.
    ({"unit": "week", "every": 2, "weekdays": ["SUN"]}, "2026-01-01", ["2026-01-04", "2026-01-18"]),
    (
        {"unit": "week", "every": 2, "weekdays": ["SUN"], "week_start": "SUN"},
        "2026-01-01",
        ["2026-01-11", "2026-01-25"],
    ),
    ({"unit": "week", "every": 1}, "2026-01-01", ["2026-01-01", "2026-01-08"]),
]


@pytest.mark.parametrize(("rule", "start", "expected"), CALENDAR)
def test_kind_calendar_counts_dates_from_its_start(rule: dict[str, object], start: str, expected: list[str]):
    schedule = {"type": "calendar", "at": "00:00", "timezone": "UTC", "start": start, **rule}

    found = upcoming(schedule, after=datetime(2020, 1, 1, tzinfo=UTC), count=len(expected))

    assert [fire.date().isoformat() for fire in found] == expected


@pytest.mark.parametrize(("rule", "start", "expected"), CALENDAR)
def test_dates_are_the_same_from_any_later_instant(rule: dict[str, object], start: str, expected: list[str]):
    schedule = {"type": "calendar", "at": "00:00", "timezone": "UTC", "start": start, **rule}
    fires = upcoming(schedule, after=datetime(2020, 1, 1, tzinfo=UTC), count=60)

    for k in (1, 17, 40):
        assert upcoming(schedule, after=fires[k - 1], count=20) == fires[k : k + 20]
