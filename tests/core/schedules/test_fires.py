"""Schedules at the door: what is accepted and as what, what is refused and why, and the fires of each type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from chalicelib.core.schedules.business_days import Calendar
from chalicelib.core.schedules.fires import accept_schedule, fires_after, latest_fire, runs_on, upcoming
from chalicelib.core.schedules.preview import preview_fires
from chalicelib.errors import InvalidSchedule

NOW = datetime(2026, 5, 1, 10, 30, 15, 999, tzinfo=UTC)
NEW_YORK = "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def daily(**over: Any) -> dict[str, Any]:
    return {"type": "calendar", "every": 1, "unit": "day", "at": "02:00:00", "timezone": "Asia/Shanghai", **over}


def cron(expression: str, **over: Any) -> dict[str, Any]:
    return {"type": "cron", "expression": expression, **over}


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
        # What a period needs and nobody gave is taken from its anchor: 1 May 2026 is a Friday.
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


ONCE = {"type": "once", "at": "2026-06-01T10:00:00"}
INTERVAL = {"type": "interval", "every": 15, "unit": "minute"}
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
def test_what_cannot_be_is_refused_with_its_field(given: dict[str, Any], field: str):
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


def test_a_once_accepted_before_its_time_fell_into_a_gap_still_fires():
    schedule = {"type": "once", "at": "2027-03-14T02:30:00", "timezone": NEW_YORK}

    assert upcoming(schedule, after=NOW, count=2) == [utc("2027-03-14T03:00-04:00")]


def test_never_fires_says_so():
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


def test_both_ends_of_a_range_are_inclusive():
    schedule = cron("0 9 * * *", start="2026-06-01T09:00:00Z", end="2026-06-03T09:00:00Z")

    fires = upcoming(schedule, after=NOW, count=10)

    assert fires == [utc(f"2026-06-0{day}T09:00Z") for day in (1, 2, 3)]
    assert latest_fire(schedule, at_or_before=utc("2027-01-01T00:00Z")) == fires[-1]
    assert latest_fire(schedule, at_or_before=utc("2026-06-01T08:59:59Z")) is None


def test_an_interval_is_elapsed_time_from_its_start():
    schedule = {**INTERVAL, "every": 6, "unit": "hour", "timezone": NEW_YORK, "start": "2026-03-07T20:00:00-05:00"}

    fires = upcoming(schedule, after=utc("2026-01-01T00:00Z"), count=4)

    assert fires == [utc("2026-03-08T01:00Z") + k * timedelta(hours=6) for k in range(4)]


def test_fires_are_strictly_after():
    fire = utc("2026-05-02T00:00Z")

    assert upcoming(cron("@daily"), after=fire, count=1) == [fire + timedelta(days=1)]
    assert upcoming(cron("@daily"), after=fire - timedelta(microseconds=1), count=1) == [fire]
    assert upcoming(ONCE, after=utc("2026-06-01T10:00Z"), count=1) == []
    assert upcoming(ONCE, after=utc("2026-06-01T09:59:59Z"), count=5) == [utc("2026-06-01T10:00Z")]


def test_now_has_no_fires_of_its_own():
    assert upcoming({"type": "now"}, after=NOW, count=3) == []
    assert latest_fire({"type": "now"}, at_or_before=NOW) is None


def test_naive_datetimes_are_refused_at_every_door():
    naive = datetime(2026, 5, 1)  # noqa: DTZ001 - what is refused
    for call in (
        lambda: upcoming(cron("@daily"), after=naive, count=1),
        lambda: fires_after(cron("@daily"), after=naive),
        lambda: latest_fire(cron("@daily"), at_or_before=naive),
        lambda: accept_schedule(cron("@daily"), now=naive),
        lambda: preview_fires(cron("@daily"), after=naive, count=1),
        lambda: upcoming({**INTERVAL, "start": naive}, after=NOW, count=1),
        lambda: upcoming({**ONCE, "at": naive}, after=NOW, count=1),
        lambda: runs_on(cron("@daily", on_non_business="skip"), naive),
    ):
        with pytest.raises(InvalidSchedule):
            call()


@pytest.mark.parametrize("count", [-1, 1.5, True, None])
def test_a_count_is_a_whole_number(count: Any):
    with pytest.raises(InvalidSchedule):
        upcoming(cron("@daily"), after=NOW, count=count)


def test_iterate_is_lazy():
    fires = fires_after(cron("* * * * * *"), after=NOW)

    assert list(islice(fires, 2)) == [utc("2026-05-01T10:30:16Z"), utc("2026-05-01T10:30:17Z")]


def test_a_preview_shows_local_time_flags_and_window():
    shown = preview_fires(
        cron("30 1 * * *", timezone=NEW_YORK), after=utc("2026-10-31T12:00Z"), count=2, window={"type": "yesterday"}
    )

    assert [(fire.local, fire.flags) for fire in shown] == [
        ("2026-11-01T01:30:00-04:00", ("fold_first",)),
        ("2026-11-02T01:30:00-05:00", ()),
    ]
    assert shown[1].window_start == utc("2026-11-01T00:00-04:00")
    assert shown[1].window_end == utc("2026-11-02T00:00-05:00")


def test_a_preview_flags_the_passes_of_a_fold_and_the_end_of_a_gap():
    twice = preview_fires(cron("0 * * * *", timezone=NEW_YORK), after=utc("2026-11-01T00:30-04:00"), count=3)
    shifted = preview_fires(cron("30 2 * * *", timezone=NEW_YORK), after=utc("2026-03-07T12:00Z"), count=2)
    due_anyway = preview_fires(cron("0 2,3 * * *", timezone=NEW_YORK), after=utc("2026-03-07T12:00Z"), count=1)

    assert [fire.flags for fire in twice] == [("fold_first",), ("fold_second",), ()]
    assert [fire.flags for fire in shifted] == [("gap_shifted",), ()]
    assert [fire.flags for fire in due_anyway] == [()]


def test_a_preview_has_at_most_a_hundred_fires():
    assert len(preview_fires(cron("@daily"), after=NOW, count=100)) == 100
    with pytest.raises(InvalidSchedule):
        preview_fires(cron("@daily"), after=NOW, count=101)


@pytest.mark.parametrize(
    ("schedule", "first_start"),
    [
        (cron("0 9 * * *"), "2026-04-30T09:00Z"),  # the fire before
        (cron("0 9 * * *", start="2026-04-30T12:00:00Z"), "2026-04-30T12:00Z"),  # none before: the range's start
        ({**INTERVAL, "every": 12, "unit": "hour", "anchor": "2026-05-01T00:00:00Z"}, "2026-05-01T00:00Z"),
        (daily(timezone="UTC", at="12:00", anchor="2026-04-30T18:00:00Z"), "2026-04-30T18:00Z"),
    ],
)
def test_a_preview_of_windows_since_the_previous_fire(schedule: dict[str, Any], first_start: str):
    shown = preview_fires(schedule, after=utc("2026-05-01T00:00Z"), count=3, window={"type": "since_previous_fire"})

    assert shown[0].window_start == utc(first_start)
    assert [fire.window_start for fire in shown[1:]] == [fire.at for fire in shown[:-1]]
    assert [fire.window_end for fire in shown] == [fire.at for fire in shown]


HOLIDAYS = Calendar.accept(
    {
        "version": "2026-1",
        # Labour Day: Friday 1 May to Tuesday 5 May off, Saturday 9 May worked instead.
        "days": {"2026-05-01": "off", "2026-05-04": "off", "2026-05-05": "off", "2026-05-09": "workday"},
    }
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("run", [29, 30, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ("skip", [29, 30, 6, 7, 8, 9, 11]),
        ("next", [29, 30, 6, 7, 8, 9, 11]),
        ("previous", [29, 30, 6, 7, 8, 9, 11]),
        ("modified_following", [29, 30, 6, 7, 8, 9, 11]),
    ],
)
def test_dates_that_land_on_one_collapse(rule: str, expected: list[int]):
    fires = upcoming(
        cron("0 9 * * *", on_non_business=rule),
        after=utc("2026-04-29T00:00Z"),
        count=len(expected),
        calendar=HOLIDAYS,
    )

    assert [fire.day for fire in fires] == expected


@pytest.mark.parametrize(
    ("day", "rule", "moved"),
    [
        (2, "next", "2026-05-06"),
        (2, "previous", "2026-04-30"),
        (2, "modified_following", "2026-05-06"),
        (31, "next", "2026-06-01"),
        (31, "modified_following", "2026-05-29"),  # Sunday 31 May: the next working day is in June
        (9, "next", "2026-05-09"),  # a Saturday that is worked
    ],
)
def test_a_date_off_rolls(day: int, rule: str, moved: str):
    schedule = cron(f"0 9 {day} 5 *", on_non_business=rule)

    (fire,) = preview_fires(schedule, after=utc("2026-01-01T00:00Z"), count=1, calendar=HOLIDAYS)

    assert fire.at == utc(f"{moved}T09:00Z")
    assert fire.flags == (() if moved == f"2026-05-{day:02}" else ("holiday_moved",))


def test_in_the_middle_of_a_holiday_the_fire_moved_past_it_is_still_to_come():
    schedule = cron("0 9 1 5 *", on_non_business="next")

    assert upcoming(schedule, after=utc("2026-05-05T12:00Z"), count=1, calendar=HOLIDAYS) == [utc("2026-05-06T09:00Z")]


def test_the_date_rolls_before_the_clock_is_read():
    # Saturday 7 March rolls to Sunday's... Monday 9 March, past the change: 02:30 exists again.
    schedule = cron("30 2 7 3 *", on_non_business="next", timezone=NEW_YORK)

    assert upcoming(schedule, after=utc("2026-01-01T00:00Z"), count=1) == [utc("2026-03-09T02:30-04:00")]


def test_beyond_its_cover_a_calendar_knows_weekends_only_and_says_so():
    schedule = cron("0 9 1 * *", on_non_business="next")

    shown = preview_fires(schedule, after=utc("2026-12-01T12:00Z"), count=2, calendar=HOLIDAYS)

    assert [(fire.at.date().isoformat(), fire.flags) for fire in shown] == [
        ("2027-01-01", ("beyond_calendar",)),
        ("2027-02-01", ("beyond_calendar",)),
    ]


def test_without_a_calendar_weekends_are_off():
    schedule = cron("0 9 * * *", on_non_business="skip")

    fires = upcoming(schedule, after=utc("2026-05-01T12:00Z"), count=2)

    assert fires == [utc("2026-05-04T09:00Z"), utc("2026-05-05T09:00Z")]


def test_skipped_slots_are_there_for_the_ledger():
    schedule = cron("0 9 * * *", on_non_business="skip")

    slots = upcoming(schedule, after=utc("2026-05-01T12:00Z"), count=3, with_skipped=True)

    assert [runs_on(schedule, slot) for slot in slots] == [False, False, True]
    assert latest_fire(schedule, at_or_before=utc("2026-05-03T12:00Z")) == utc("2026-05-01T09:00Z")
    assert latest_fire(schedule, at_or_before=utc("2026-05-03T12:00Z"), with_skipped=True) == utc("2026-05-03T09:00Z")


def test_a_schedule_of_weekends_that_skips_weekends_never_fires():
    with pytest.raises(InvalidSchedule, match="never_fires"):
        accept_schedule(cron("0 9 * * 6", on_non_business="skip"), now=NOW)
