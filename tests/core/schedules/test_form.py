"""What `accept_schedule` stores, what it refuses, and the field that it names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core.schedules.fires import accept_schedule, upcoming
from chalicelib.errors import InvalidSchedule
from tests.support.schedules import INTERVAL, NEW_YORK, NOW, ONCE, cron, daily


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"type": "now"}, {"type": "now", "timezone": "UTC"}),
        (
            {"type": "once", "at": "2026-06-01T10:00", "timezone": NEW_YORK},
            {"type": "once", "at": "2026-06-01T10:00:00", "timezone": NEW_YORK},
        ),
        # An instant becomes the local time it is there.
        (
            {"type": "once", "at": "2026-06-01T10:00:00Z", "timezone": NEW_YORK},
            {"type": "once", "at": "2026-06-01T06:00:00", "timezone": NEW_YORK},
        ),
        # In a fold the first pass is the default, and an instant knows its pass.
        (
            {"type": "once", "at": "2026-11-01T01:30:00", "timezone": NEW_YORK},
            {"type": "once", "at": "2026-11-01T01:30:00", "fold": 0, "timezone": NEW_YORK},
        ),
        (
            {"type": "once", "at": "2026-11-01T06:30:00Z", "timezone": NEW_YORK},
            {"type": "once", "at": "2026-11-01T01:30:00", "fold": 1, "timezone": NEW_YORK},
        ),
        (
            {"type": "once", "at": "2020-01-01T00:00:00", "run_if_past": True},
            {"type": "once", "at": "2020-01-01T00:00:00", "run_if_past": True, "timezone": "UTC"},
        ),
        # Without a start, periods count from the moment of acceptance.
        (
            {"type": "interval", "every": 15, "unit": "minute", "start": None},
            {"type": "interval", "every": 15, "unit": "minute", "timezone": "UTC", "anchor": "2026-05-01T10:30:15Z"},
        ),
        (
            {"type": "interval", "every": 15, "unit": "minute", "start": "2026-06-01T00:00:00+08:00"},
            {"type": "interval", "every": 15, "unit": "minute", "timezone": "UTC", "start": "2026-05-31T16:00:00Z"},
        ),
        (daily(at="02:00", start=None, end=None), daily(anchor="2026-05-01T10:30:15Z")),
        (
            {"type": "calendar", "every": 2, "unit": "week", "at": "09:00:00", "weekdays": ["friday", 1]},
            {
                "type": "calendar",
                "every": 2,
                "unit": "week",
                "at": "09:00:00",
                "week_start": "MON",
                "weekdays": ["MON", "FRI"],
                "timezone": "UTC",
                "anchor": "2026-05-01T10:30:15Z",
            },
        ),
        # What a period needs and the caller left out comes from its anchor: 1 May 2026 is a Friday.
        (
            {"type": "calendar", "every": 1, "unit": "week", "at": "09:00:00"},
            {
                "type": "calendar",
                "every": 1,
                "unit": "week",
                "at": "09:00:00",
                "week_start": "MON",
                "weekdays": ["FRI"],
                "timezone": "UTC",
                "anchor": "2026-05-01T10:30:15Z",
            },
        ),
        (
            {"type": "calendar", "every": 1, "unit": "month", "at": "09:00:00", "start": "2026-05-31"},
            {
                "type": "calendar",
                "every": 1,
                "unit": "month",
                "at": "09:00:00",
                "month_day": 31,
                "if_missing": "clamp",
                "timezone": "UTC",
                "start": "2026-05-31T00:00:00Z",
            },
        ),
        (cron("@daily"), {"type": "cron", "expression": "0 0 * * *", "timezone": "UTC"}),
        (
            cron("0 9 * * MON", dst_policy="vixie", on_non_business="run", jitter_seconds=0),
            {"type": "cron", "expression": "0 9 * * 1", "timezone": "UTC"},
        ),
        (
            cron("0 9 * * *", dst_policy="literal", calendar="cn-2026", on_non_business="next", jitter_seconds=30),
            {
                "type": "cron",
                "expression": "0 9 * * *",
                "timezone": "UTC",
                "dst_policy": "literal",
                "calendar": "cn-2026",
                "on_non_business": "next",
                "jitter_seconds": 30,
            },
        ),
        # A date alone: from its first instant, to its last second, in the schedule's zone.
        (
            cron("0 9 * * *", timezone="Asia/Shanghai", start="2026-06-01", end="2026-06-30"),
            {
                "type": "cron",
                "expression": "0 9 * * *",
                "timezone": "Asia/Shanghai",
                "start": "2026-05-31T16:00:00Z",
                "end": "2026-06-30T15:59:59Z",
            },
        ),
    ],
)
def test_the_canonical_form_is_what_is_stored(given: dict[str, Any], stored: dict[str, Any]):
    assert accept_schedule(given, now=NOW) == stored
    assert accept_schedule(stored, now=NOW + timedelta(days=1)) == stored


MONTHLY = {"type": "calendar", "every": 1, "unit": "month", "at": "09:00"}


WEEKLY = {"type": "calendar", "every": 1, "unit": "week", "at": "09:00"}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "schedule.type"),
        ({"type": "weekly"}, "schedule.type"),
        ({"type": ["now"]}, "schedule.type"),
        ({"type": "now", "at": "2026-06-01T10:00:00"}, "schedule.at"),
        ({"type": "now", "start": "2026-06-01"}, "schedule.start"),
        ({"type": "once"}, "schedule.at"),
        ({**ONCE, "at": "2026-06-01"}, "schedule.at"),
        ({**ONCE, "at": "2026-06-31T10:00:00"}, "schedule.at"),
        ({**ONCE, "at": "2026-06-01T25:00:00"}, "schedule.at"),
        ({**ONCE, "at": "2026-06-01T10:00:00.5"}, "schedule.at"),
        ({**ONCE, "at": "tomorrow"}, "schedule.at"),
        ({**ONCE, "at": 1780300800}, "schedule.at"),
        ({**ONCE, "at": "2026-06-01T10:00:00+99:00"}, "schedule.at"),
        ({**ONCE, "at": "9999-06-01T10:00:00"}, "schedule.at"),
        ({**ONCE, "at": "2099-06-01T10:00:00"}, "schedule.at"),  # never within 60 years
        ({**ONCE, "at": "2026-05-01T10:30:14"}, "schedule.at"),  # past
        ({**ONCE, "at": "2026-05-01T10:30:15"}, "schedule.at"),  # the second of acceptance: no fire lies after it
        ({**ONCE, "fold": 2}, "schedule.fold"),
        ({**ONCE, "fold": True}, "schedule.fold"),
        ({**ONCE, "run_if_past": "yes"}, "schedule.run_if_past"),
        ({**ONCE, "expression": "* * * * *"}, "schedule.expression"),
        ({**ONCE, "timezone": "Mars/Phobos"}, "schedule.timezone"),
        ({**ONCE, "timezone": "../../etc/passwd"}, "schedule.timezone"),
        ({**ONCE, "timezone": "+08:00"}, "schedule.timezone"),
        ({**ONCE, "timezone": ""}, "schedule.timezone"),
        ({**ONCE, "timezone": 8}, "schedule.timezone"),
        ({"type": "interval", "unit": "minute"}, "schedule.every"),
        ({"type": "interval", "every": 5}, "schedule.unit"),
        ({**INTERVAL, "every": 0}, "schedule.every"),
        ({**INTERVAL, "every": -5}, "schedule.every"),
        ({**INTERVAL, "every": 1.5}, "schedule.every"),
        ({**INTERVAL, "every": "5"}, "schedule.every"),
        ({**INTERVAL, "every": True}, "schedule.every"),
        ({**INTERVAL, "unit": "day"}, "schedule.unit"),
        ({**INTERVAL, "every": 59, "unit": "second"}, "schedule.every"),  # nearer than a minute
        ({**INTERVAL, "every": 10**8, "unit": "hour"}, "schedule.every"),  # never within 60 years
        ({**INTERVAL, "at": "09:00"}, "schedule.at"),
        ({**INTERVAL, "dst_policy": "literal"}, "schedule.dst_policy"),
        ({**INTERVAL, "start": "soon"}, "schedule.start"),
        ({**INTERVAL, "start": "2026-06-02", "end": "2026-06-01"}, "schedule.end"),
        ({**INTERVAL, "end": "2026-04-01"}, "schedule.end"),
        ({**INTERVAL, "anchor": "x"}, "schedule.anchor"),
        ({**INTERVAL, "jitter_seconds": -1}, "schedule.jitter_seconds"),
        ({**INTERVAL, "jitter_seconds": 90_000}, "schedule.jitter_seconds"),
        (daily(unit="year"), "schedule.unit"),
        (daily(every=0), "schedule.every"),
        (daily(at="2:00"), "schedule.at"),
        (daily(at="24:00"), "schedule.at"),
        (daily(at="02:00:60"), "schedule.at"),
        (daily(at=None), "schedule.at"),
        (daily(weekdays=["MON"]), "schedule.weekdays"),
        (daily(month_day=1), "schedule.month_day"),
        ({**WEEKLY, "weekdays": []}, "schedule.weekdays"),
        ({**WEEKLY, "weekdays": "MON"}, "schedule.weekdays"),
        ({**WEEKLY, "weekdays": ["MON", "XYZ"]}, "schedule.weekdays"),
        ({**WEEKLY, "weekdays": [8]}, "schedule.weekdays"),
        ({**WEEKLY, "week_start": "someday"}, "schedule.week_start"),
        ({**WEEKLY, "if_missing": "skip"}, "schedule.if_missing"),
        ({**MONTHLY, "month_day": 0}, "schedule.month_day"),
        ({**MONTHLY, "month_day": 32}, "schedule.month_day"),
        ({**MONTHLY, "month_day": "last-31"}, "schedule.month_day"),
        ({**MONTHLY, "month_day": "TUE#6"}, "schedule.month_day"),
        ({**MONTHLY, "month_day": "some-day"}, "schedule.month_day"),
        ({**MONTHLY, "month_day": True}, "schedule.month_day"),
        ({**MONTHLY, "if_missing": "guess"}, "schedule.if_missing"),
        ({"type": "cron"}, "schedule.expression"),
        (cron("* * * *"), "schedule.expression"),
        (cron(""), "schedule.expression"),
        (cron("0 0 30 2 *"), "schedule.expression"),  # never
        (cron("0 0 0 1 1 * 2020"), "schedule.expression"),
        (cron("0 0 1 1 *", end="2026-05-02"), "schedule.expression"),
        (cron("0 0 * * *", end="2026-04-30"), "schedule.end"),
        (cron("*/30 * * * * *"), "schedule.expression"),
        (cron("0,30 59 23 31 12 *"), "schedule.expression"),  # close, but only once a year
        (cron("0 9 * * *", dst_policy="guess"), "schedule.dst_policy"),
        (cron("0 9 * * *", on_non_business="guess"), "schedule.on_non_business"),
        (cron("0 9 * * *", calendar="not an id!"), "schedule.calendar"),
        (cron("0 9 * * *", anchor="2026-01-01"), "schedule.anchor"),
        (cron("0 9 * * *", color="red"), "schedule.color"),
    ],
)
def test_an_invalid_schedule_is_refused_with_its_field(given: dict[str, Any], field: str):
    with pytest.raises(InvalidSchedule) as refusal:
        accept_schedule(given, now=NOW)

    assert refusal.value.field == field
    assert refusal.value.message


def test_a_schedule_is_an_object():
    for value in (None, "daily", ["daily"]):
        with pytest.raises(InvalidSchedule):
            accept_schedule(value, now=NOW)  # type: ignore[arg-type]
        with pytest.raises(InvalidSchedule):
            upcoming(value, after=NOW, count=1)  # type: ignore[arg-type]


def test_a_time_in_a_gap_is_refused_with_the_time_after_it():
    with pytest.raises(InvalidSchedule, match="2027-03-14T03:00:00") as refusal:
        accept_schedule({"type": "once", "at": "2027-03-14T02:30:00", "timezone": NEW_YORK}, now=NOW)

    assert refusal.value.field == "schedule.at"


def test_a_schedule_that_never_fires_is_refused_as_never_fires():
    with pytest.raises(InvalidSchedule, match="never_fires"):
        accept_schedule(cron("0 0 30 2 *"), now=NOW)


@pytest.mark.parametrize(
    ("schedule", "minimum", "accepted"),
    [
        (cron("* * * * *"), 60, True),
        (cron("* * * * *"), 61, False),
        (cron("*/5 * * * * *"), 5, True),
        (cron("*/7 * * * * *"), 7, False),  # 56, then 0 again
        (cron("59 23 28 2 *"), 86_400, True),
        (cron("59 23,0 * * *"), 3660, False),
        (cron("30 23 * * *"), 86_400, True),
        (cron("30 23 * * *", timezone=NEW_YORK), 86_400, False),  # 23 hours in spring
        (cron("0 0 1,15 * *"), 13 * 86_400, True),
        (cron("0 0 1,15 * *"), 15 * 86_400, False),
        (cron("0 0 15W,16 * *"), 86_400 + 1, False),
        (cron("55 1,2 14 3 *", timezone=NEW_YORK), 600, False),  # in 2027, 02:55 is put off to 03:00: 5 minutes
        ({**INTERVAL, "every": 30, "unit": "second"}, 30, True),
    ],
)
def test_the_closest_two_fires_of_a_year_count(schedule: dict[str, Any], minimum: int, accepted: bool):
    if accepted:
        accept_schedule(schedule, now=NOW, minimum_gap_seconds=minimum)
        return
    with pytest.raises(InvalidSchedule, match="least allowed"):
        accept_schedule(schedule, now=NOW, minimum_gap_seconds=minimum)
