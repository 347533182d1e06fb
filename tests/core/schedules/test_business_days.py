"""Fires that a calendar of business days skips or moves."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from chalicelib.core.schedules.business_days import Calendar
from chalicelib.core.schedules.fires import accept_schedule, latest_fire, runs_on, upcoming
from chalicelib.core.schedules.preview import preview_fires
from chalicelib.errors import InvalidSchedule
from tests.support.schedules import NEW_YORK, NOW, cron, utc

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
def test_dates_that_move_to_one_day_fire_once(rule: str, expected: list[int]):
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
def test_a_fire_on_a_day_off_moves_by_the_rule(day: int, rule: str, moved: str):
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


def test_skipped_slots_are_listed_when_asked_for():
    schedule = cron("0 9 * * *", on_non_business="skip")

    slots = upcoming(schedule, after=utc("2026-05-01T12:00Z"), count=3, with_skipped=True)

    assert [runs_on(schedule, slot) for slot in slots] == [False, False, True]
    assert latest_fire(schedule, at_or_before=utc("2026-05-03T12:00Z")) == utc("2026-05-01T09:00Z")
    assert latest_fire(schedule, at_or_before=utc("2026-05-03T12:00Z"), with_skipped=True) == utc("2026-05-03T09:00Z")


def test_a_schedule_of_weekends_that_skips_weekends_never_fires():
    with pytest.raises(InvalidSchedule, match="never_fires"):
        accept_schedule(cron("0 9 * * 6", on_non_business="skip"), now=NOW)


CLOSED_FROM, CLOSED_DAYS = date(2026, 6, 1), 1500
CLOSURE = {(CLOSED_FROM + timedelta(days=k)).isoformat(): "off" for k in range(CLOSED_DAYS)}


@pytest.mark.parametrize("rule", ["skip", "next", "previous", "modified_following"])
def test_a_schedule_goes_on_after_years_of_days_off(rule: str):
    closed = Calendar.accept({"days": CLOSURE, "first": "2020-01-01", "last": "2040-12-31"})
    schedule = {"type": "cron", "expression": "0 9 * * *", "timezone": "UTC", "on_non_business": rule}
    reopened = CLOSED_FROM + timedelta(days=CLOSED_DAYS)
    while reopened.isoweekday() > 5:
        reopened += timedelta(days=1)

    (fire,) = upcoming(schedule, after=datetime(2026, 8, 15, tzinfo=UTC), count=1, calendar=closed)
    before = latest_fire(schedule, at_or_before=datetime(2030, 6, 1, tzinfo=UTC), calendar=closed)

    assert fire.date() == reopened
    assert before is not None
    assert before.date() == date(2026, 5, 29)


def test_a_long_closure_is_walked_once():
    """Not for each of its days: that would be sixty looks for each."""
    looks = 0

    class Counting(dict[date, bool]):
        def get(self, day: date, default: object = None) -> object:  # type: ignore[override]
            nonlocal looks
            looks += 1
            return super().get(day, default)  # type: ignore[arg-type]

    days = Counting({date.fromisoformat(day): False for day in CLOSURE})
    schedule = {"type": "cron", "expression": "0 9 * * *", "timezone": "UTC", "on_non_business": "next"}

    upcoming(schedule, after=datetime(2026, 8, 15, tzinfo=UTC), count=1, calendar=Calendar(days=days))

    assert looks < 3 * CLOSED_DAYS
