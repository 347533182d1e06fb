"""Every row of the table of windows, the days around clock changes, and the tiling of the time line."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Any

import pytest

from chalicelib.core.schedules.fires import fires_after, upcoming
from chalicelib.core.schedules.window import accept_window, resolve, union, window_is_empty, window_parameters
from chalicelib.errors import InvalidSchedule

NEW_YORK = "America/New_York"
FIRE = "2026-08-19T14:35:45+08:00"  # a Wednesday


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def last(n: int, unit: str) -> dict[str, Any]:
    return {"type": "last", "n": n, "unit": unit}


def previous(n: int, unit: str, **over: Any) -> dict[str, Any]:
    return {"type": "previous", "n": n, "unit": unit, **over}


def to_date(unit: str, **over: Any) -> dict[str, Any]:
    return {"type": "to_date", "unit": unit, **over}


def custom(start: dict[str, Any], end: dict[str, Any]) -> dict[str, Any]:
    return {"type": "custom", "start": start, "end": end}


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ({"type": "yesterday"}, "2026-08-18T00:00", "2026-08-19T00:00"),
        (last(1, "day"), "2026-08-18T00:00", "2026-08-19T00:00"),
        (last(7, "day"), "2026-08-12T00:00", "2026-08-19T00:00"),
        (last(1, "hour"), "2026-08-19T13:00", "2026-08-19T14:00"),
        (last(24, "hour"), "2026-08-18T14:00", "2026-08-19T14:00"),
        (last(15, "minute"), "2026-08-19T14:20", "2026-08-19T14:35"),
        ({"type": "rolling", "n": 90, "unit": "minute"}, "2026-08-19T13:05:45", "2026-08-19T14:35:45"),
        ({"type": "rolling", "n": 1, "unit": "day"}, "2026-08-18T14:35:45", "2026-08-19T14:35:45"),
        (previous(1, "week"), "2026-08-10T00:00", "2026-08-17T00:00"),
        (previous(1, "week", week_start="SUN"), "2026-08-09T00:00", "2026-08-16T00:00"),
        (previous(2, "week", week_start="wednesday"), "2026-08-05T00:00", "2026-08-19T00:00"),
        (previous(1, "month"), "2026-07-01T00:00", "2026-08-01T00:00"),
        (previous(3, "month"), "2026-05-01T00:00", "2026-08-01T00:00"),
        (previous(1, "quarter"), "2026-04-01T00:00", "2026-07-01T00:00"),
        (previous(1, "year"), "2025-01-01T00:00", "2026-01-01T00:00"),
        (to_date("month"), "2026-08-01T00:00", "2026-08-19T00:00"),
        (to_date("month", until="to_now"), "2026-08-01T00:00", "2026-08-19T14:35:45"),
        (to_date("quarter"), "2026-07-01T00:00", "2026-08-19T00:00"),
        (to_date("year", until="to_now"), "2026-01-01T00:00", "2026-08-19T14:35:45"),
        (custom({"trunc": "day", "offset": -1}, {"trunc": "day"}), "2026-08-18T00:00", "2026-08-19T00:00"),
        (custom({"trunc": "week"}, {}), "2026-08-17T00:00", "2026-08-19T14:35:45"),
        (
            custom({"offset": -6, "unit": "month"}, {"trunc": "hour", "offset": 1}),
            "2026-02-19T14:35:45",
            "2026-08-19T15:00",
        ),
        (
            custom({"trunc": "quarter", "offset": -1}, {"trunc": "month", "offset": 14, "unit": "day"}),
            "2026-04-01T00:00",
            "2026-08-15T00:00",
        ),
        ({"type": "fixed", "start": "2026-01-01", "end": "2026-02-01"}, "2026-01-01T00:00", "2026-02-01T00:00"),
    ],
)
def test_every_row_of_the_table(window: dict[str, Any], start: str, end: str):
    found = resolve(window, scheduled_for=utc(FIRE), timezone="Asia/Shanghai")

    assert found == (utc(f"{start}+08:00"), utc(f"{end}+08:00"))


def test_since_the_previous_fire():
    before, fire = utc("2026-08-18T00:00Z"), utc("2026-08-19T00:00Z")

    found = resolve({"type": "since_previous_fire"}, scheduled_for=fire, timezone="UTC", previous=before)

    assert found == (before, fire)
    with pytest.raises(InvalidSchedule):
        resolve({"type": "since_previous_fire"}, scheduled_for=fire, timezone="UTC")


@pytest.mark.parametrize(
    ("window", "zone", "fire", "start", "end"),
    [
        # New York: a day of 23 hours, one of 25, and an hour that is two on the clock.
        ({"type": "yesterday"}, NEW_YORK, "2026-03-09T02:30-04:00", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00"),
        ({"type": "yesterday"}, NEW_YORK, "2026-11-02T02:30-05:00", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"),
        (last(1, "hour"), NEW_YORK, "2026-03-08T03:20-04:00", "2026-03-08T01:00-05:00", "2026-03-08T03:00-04:00"),
        (last(1, "hour"), NEW_YORK, "2026-11-01T01:20-05:00", "2026-11-01T01:00-04:00", "2026-11-01T01:00-05:00"),
        (last(24, "hour"), NEW_YORK, "2026-03-09T00:10-04:00", "2026-03-07T23:00-05:00", "2026-03-09T00:00-04:00"),
        # Sao Paulo: 4 November 2018 begins at 01:00.
        (
            {"type": "yesterday"},
            "America/Sao_Paulo",
            "2018-11-05T06:00-02:00",
            "2018-11-04T01:00-02:00",
            "2018-11-05T00:00-02:00",
        ),
        (previous(1, "month"), "UTC", "2026-03-31T06:00+00:00", "2026-02-01T00:00+00:00", "2026-03-01T00:00+00:00"),
        (previous(1, "quarter"), "UTC", "2026-02-15T06:00+00:00", "2025-10-01T00:00+00:00", "2026-01-01T00:00+00:00"),
        # 31 August less six months: months clamp.
        (
            custom({"offset": -6, "unit": "month"}, {}),
            "UTC",
            "2026-08-31T06:00+00:00",
            "2026-02-28T06:00+00:00",
            "2026-08-31T06:00+00:00",
        ),
        # Lord Howe changes by half an hour: 40 minutes before the second 01:40 was the first 01:30.
        (
            custom({"trunc": "hour"}, {}),
            "Australia/Lord_Howe",
            "2026-04-05T01:40+10:30",
            "2026-04-05T01:30+11:00",
            "2026-04-05T01:40+10:30",
        ),
    ],
)
def test_windows_around_clock_changes(window: dict[str, Any], zone: str, fire: str, start: str, end: str):
    assert resolve(window, scheduled_for=utc(fire), timezone=zone) == (utc(start), utc(end))


@pytest.mark.parametrize(
    ("window", "zone", "fire"),
    [
        (to_date("month"), "UTC", "2026-05-01T06:00+00:00"),  # the first of the month
        (to_date("year", until="to_now"), "UTC", "2026-01-01T00:00+00:00"),
        ({"type": "yesterday"}, "Pacific/Apia", "2011-12-31T06:00+14:00"),  # 30 December never was
        (custom({"trunc": "day"}, {"trunc": "day", "offset": -1}), "UTC", "2026-05-01T06:00+00:00"),  # ends cross
    ],
)
def test_empty_windows(window: dict[str, Any], zone: str, fire: str):
    assert window_is_empty(*resolve(window, scheduled_for=utc(fire), timezone=zone))


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"type": "yesterday", "n": None}, {"type": "yesterday"}),
        ({"type": "yesterday", "allow_empty": True}, {"type": "yesterday", "allow_empty": True}),
        ({"type": "yesterday", "allow_empty": False}, {"type": "yesterday"}),
        ({"type": "last_hour"}, last(1, "hour")),
        ({"type": "last_day"}, last(1, "day")),
        ({"type": "last_n_days", "n": 7}, last(7, "day")),
        ({"type": "last_days", "n": 7}, last(7, "day")),
        ({"type": "last_minutes", "n": 15}, last(15, "minute")),
        ({"type": "rolling_hours", "n": 3}, {"type": "rolling", "n": 3, "unit": "hour"}),
        ({"type": "previous_day"}, {"type": "yesterday"}),
        ({"type": "previous_week"}, previous(1, "week", week_start="MON")),
        ({"type": "previous_weeks", "n": 2, "week_start": 0}, previous(2, "week", week_start="SUN")),
        ({"type": "previous_months", "n": 3}, previous(3, "month")),
        ({"type": "previous_quarter"}, previous(1, "quarter")),
        ({"type": "previous_years", "n": 2}, previous(2, "year")),
        ({"type": "month_to_date"}, to_date("month", until="full_days")),
        ({"type": "year_to_date", "until": "to_now"}, to_date("year", until="to_now")),
        ({"type": "today"}, custom({"trunc": "day"}, {})),
        (
            custom({"trunc": "day", "offset": -1}, {"trunc": "day", "offset": 0, "unit": "day"}),
            custom({"trunc": "day", "offset": -1, "unit": "day"}, {"trunc": "day"}),
        ),
        (
            {"type": "fixed", "start": "2026-01-01", "end": "2026-02-01T00:00:00+08:00"},
            {"type": "fixed", "start": "2025-12-31T16:00:00Z", "end": "2026-01-31T16:00:00Z"},
        ),
    ],
)
def test_the_canonical_form(given: dict[str, Any], stored: dict[str, Any]):
    assert accept_window(given, schedule_type="cron", timezone="Asia/Shanghai") == stored
    assert accept_window(stored, schedule_type="cron", timezone="Asia/Shanghai") == stored


@pytest.mark.parametrize(
    ("window", "field"),
    [
        ({}, "window.type"),
        ({"type": "tomorrow"}, "window.type"),
        ({"type": 5}, "window.type"),
        ({"type": "yesterday", "n": 2}, "window.n"),
        ({"type": "yesterday", "allow_empty": 1}, "window.allow_empty"),
        ({"type": "last", "n": 0, "unit": "day"}, "window.n"),
        ({"type": "last", "n": 1.5, "unit": "day"}, "window.n"),
        ({"type": "last", "n": True, "unit": "day"}, "window.n"),
        ({"type": "last", "n": 10**9, "unit": "day"}, "window.n"),
        ({"type": "last", "n": 1, "unit": "month"}, "window.unit"),
        ({"type": "last", "n": 1}, "window.unit"),
        ({"type": "rolling", "n": 1, "unit": "month"}, "window.unit"),
        ({"type": "previous", "n": 1, "unit": "day"}, "window.unit"),
        ({"type": "previous", "n": 1, "unit": "month", "week_start": "MON"}, "window.week_start"),
        ({"type": "previous", "n": 1, "unit": "week", "week_start": "X"}, "window.week_start"),
        ({"type": "to_date", "unit": "week"}, "window.unit"),
        ({"type": "to_date", "unit": "month", "until": "later"}, "window.until"),
        ({"type": "custom", "start": {}}, "window.end"),
        ({"type": "custom", "start": "day", "end": {}}, "window.start"),
        (custom({"trunc": "decade"}, {}), "window.start.trunc"),
        (custom({"offset": -1}, {}), "window.start.unit"),
        (custom({"offset": 0.5, "unit": "day"}, {}), "window.start.offset"),
        (custom({"trunc": "day", "shift": 1}, {}), "window.start.shift"),
        (custom({"trunc": "day"}, {"trunc": "day", "offset": -1}), "window.end"),  # always upside down
        (custom({}, {}), "window.end"),  # always empty
        ({"type": "fixed", "start": "2026-01-01"}, "window.end"),
        ({"type": "fixed", "start": "2026-01-01", "end": "2026-01-01"}, "window.end"),
        ({"type": "fixed", "start": "soon", "end": "2026-01-01"}, "window.start"),
    ],
)
def test_an_invalid_schedule_is_refused_with_its_field(window: dict[str, Any], field: str):
    with pytest.raises(InvalidSchedule) as refusal:
        accept_window(window, schedule_type="cron")

    assert refusal.value.field == field


def test_a_task_that_runs_now_has_no_previous_fire():
    with pytest.raises(InvalidSchedule) as refusal:
        accept_window({"type": "since_previous_fire"}, schedule_type="now")

    assert refusal.value.field == "window.type"
    assert accept_window({"type": "since_previous_fire"}, schedule_type="cron") == {"type": "since_previous_fire"}


def test_every_function_refuses_naive_datetimes():
    naive = datetime(2026, 5, 1)  # noqa: DTZ001 - what is refused
    aware, later = utc("2026-05-01T00:00Z"), utc("2026-05-09T00:00Z")
    for call in (
        lambda: resolve({"type": "yesterday"}, scheduled_for=naive, timezone="UTC"),
        lambda: resolve({"type": "since_previous_fire"}, scheduled_for=aware, timezone="UTC", previous=naive),
        lambda: resolve({"type": "fixed", "start": naive, "end": later}, scheduled_for=aware, timezone="UTC"),
        lambda: window_is_empty(naive, aware),
        lambda: union([(naive, aware)]),
        lambda: window_parameters(naive, aware, aware, "UTC"),
    ):
        with pytest.raises(InvalidSchedule):
            call()


def test_an_unknown_zone_is_refused():
    with pytest.raises(InvalidSchedule):
        resolve({"type": "yesterday"}, scheduled_for=utc(FIRE), timezone="Nowhere")


# A schedule, and the window that matches its period.
MATCHING = [
    ({"type": "calendar", "every": 1, "unit": "day", "at": "02:30"}, {"type": "yesterday"}),
    ({"type": "calendar", "every": 1, "unit": "day", "at": "00:00"}, {"type": "yesterday"}),
    ({"type": "calendar", "every": 3, "unit": "day", "at": "02:30"}, last(3, "day")),
    ({"type": "cron", "expression": "30 2 * * *"}, {"type": "yesterday"}),
    ({"type": "calendar", "every": 1, "unit": "week", "at": "02:30", "weekdays": ["TUE"]}, previous(1, "week")),
    ({"type": "calendar", "every": 2, "unit": "week", "at": "02:30", "weekdays": ["SUN"]}, previous(2, "week")),
    ({"type": "calendar", "every": 1, "unit": "month", "at": "02:30", "month_day": 31}, previous(1, "month")),
    ({"type": "calendar", "every": 3, "unit": "month", "at": "02:30", "month_day": 1}, previous(3, "month")),
    ({"type": "cron", "expression": "0 3 1 */3 *"}, previous(1, "quarter")),
    ({"type": "cron", "expression": "0 3 1 1 *"}, previous(1, "year")),
    ({"type": "interval", "every": 1, "unit": "hour"}, last(1, "hour")),
    ({"type": "interval", "every": 15, "unit": "minute"}, last(15, "minute")),
    ({"type": "interval", "every": 6, "unit": "hour"}, {"type": "rolling", "n": 6, "unit": "hour"}),
    ({"type": "cron", "expression": "20 * * * *"}, last(1, "hour")),
    ({"type": "cron", "expression": "*/15 * * * *"}, last(15, "minute")),
    ({"type": "cron", "expression": "17 */5 13 * 5"}, {"type": "since_previous_fire"}),
]
# Zones and days around their changes. Lord Howe and Apia have tests of their own, below.
CHANGES = [
    ("UTC", "2026-02-20T00:00Z"),
    (NEW_YORK, "2026-03-05T00:20Z"),
    (NEW_YORK, "2026-10-29T05:00Z"),
    ("Africa/Cairo", "2026-04-20T00:00Z"),
    ("Africa/Cairo", "2026-10-26T00:00Z"),
    ("America/St_Johns", "2011-03-10T00:00Z"),  # changes at 00:01
    ("America/St_Johns", "2010-11-04T00:00Z"),
    ("Africa/Casablanca", "2026-02-12T00:00Z"),
    ("Pacific/Chatham", "2026-04-01T00:00Z"),  # changes at 02:45 and 03:45
    ("Pacific/Chatham", "2026-09-23T00:00Z"),
    ("America/Sao_Paulo", "2018-02-15T00:00Z"),  # changes at midnight
    ("America/Sao_Paulo", "2018-11-01T00:00Z"),
    ("Antarctica/Troll", "2026-03-26T00:00Z"),  # changes by two hours
]


def tiles(schedule: dict[str, Any], window: dict[str, Any], zone: str, begin: str) -> bool:
    after = utc(begin)
    walk = fires_after({**schedule, "timezone": zone, "start": after}, after=after)
    fires = list(islice(walk, 4))
    fires += takewhile(lambda fire: fire < after + timedelta(days=6), walk)
    windows = [
        resolve(window, scheduled_for=fire, timezone=zone, previous=before)
        for before, fire in pairwise([after, *fires])
    ]
    assert all(start <= end for start, end in windows)
    return [start for start, _ in windows[1:]] == [end for _, end in windows[:-1]]


@pytest.mark.parametrize(("zone", "begin"), CHANGES)
@pytest.mark.parametrize(("schedule", "window"), MATCHING)
def test_windows_of_the_period_tile_the_time_line(
    schedule: dict[str, Any], window: dict[str, Any], zone: str, begin: str
):
    assert tiles(schedule, window, zone, begin)


@pytest.mark.parametrize(
    ("zone", "begin"), [("Australia/Lord_Howe", "2026-04-01T00:00Z"), ("Pacific/Apia", "2011-12-27T00:00Z")]
)
def test_windows_since_the_previous_fire_tile_everywhere(zone: str, begin: str):
    for schedule, _ in MATCHING:
        assert tiles(schedule, {"type": "since_previous_fire"}, zone, begin)


def test_where_clocks_change_by_half_an_hour_only_hours_do_not_tile():
    """An hour of elapsed time is not an hour of that clock; windows of days and since the previous fire are right."""
    for schedule, window in MATCHING:
        by_the_hour = window.get("unit") == "hour" and window["type"] == "last"
        assert tiles(schedule, window, "Australia/Lord_Howe", "2026-04-01T00:00Z") is not by_the_hour


def test_the_day_after_a_skipped_date_has_an_empty_yesterday():
    """30 December 2011 was skipped in Apia: nothing fires on it, and the 31st has no yesterday."""
    schedule = {"type": "calendar", "every": 1, "unit": "day", "at": "02:00", "timezone": "Pacific/Apia"}

    fires = upcoming(schedule, after=utc("2011-12-29T00:00-10:00"), count=2)

    assert fires == [utc("2011-12-29T02:00-10:00"), utc("2011-12-31T02:00+14:00")]
    start, end = resolve({"type": "yesterday"}, scheduled_for=fires[1], timezone="Pacific/Apia")
    assert start == end == utc("2011-12-31T00:00+14:00")


def test_a_union_covers_all():
    first = (utc("2026-05-01T00:00Z"), utc("2026-05-02T00:00Z"))
    third = (utc("2026-05-03T00:00Z"), utc("2026-05-04T00:00Z"))
    empty = (utc("2026-01-01T00:00Z"), utc("2026-01-01T00:00Z"))

    assert union([third, first, empty]) == (first[0], third[1])
    assert union([empty]) == empty
    with pytest.raises(ValueError, match="no windows"):
        union([])


def test_parameters_for_queries():
    start, end = utc("2026-03-08T00:00-05:00"), utc("2026-03-09T00:00-04:00")

    given = window_parameters(start, end, utc("2026-03-09T02:30-04:00"), NEW_YORK)

    assert given == {
        "window_start": start,
        "window_start_local": "2026-03-08 00:00:00",
        "window_start_date": date(2026, 3, 8),
        "window_end": end,
        "window_end_local": "2026-03-09 00:00:00",
        "window_end_date": date(2026, 3, 9),
        "window_last_date": date(2026, 3, 8),
        "scheduled_for": utc("2026-03-09T02:30-04:00"),
        "scheduled_for_local": "2026-03-09 02:30:00",
        "scheduled_for_date": date(2026, 3, 9),
    }
    assert given["window_start"].tzinfo is UTC  # type: ignore[union-attr]


def test_without_a_window_there_are_the_parameters_of_the_slot():
    assert set(window_parameters(None, None, utc(FIRE), "UTC")) == {
        "scheduled_for",
        "scheduled_for_local",
        "scheduled_for_date",
    }
