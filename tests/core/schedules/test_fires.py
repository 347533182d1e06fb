"""The fires of each schedule type: their range, their order, the latest one."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from chalicelib.core.schedules.fires import accept_schedule, fires_after, latest_fire, runs_on, upcoming
from chalicelib.core.schedules.preview import preview_fires
from chalicelib.errors import InvalidSchedule
from tests.support.schedules import INTERVAL, NEW_YORK, NOW, ONCE, cron, utc


def test_a_once_schedule_whose_time_fell_into_a_gap_later_still_fires():
    schedule = {"type": "once", "at": "2027-03-14T02:30:00", "timezone": NEW_YORK}

    assert upcoming(schedule, after=NOW, count=2) == [utc("2027-03-14T03:00-04:00")]


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


def test_every_function_refuses_naive_datetimes():
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


def test_fires_after_is_lazy():
    fires = fires_after(cron("* * * * * *"), after=NOW)

    assert list(islice(fires, 2)) == [utc("2026-05-01T10:30:16Z"), utc("2026-05-01T10:30:17Z")]
