"""Windows of days tile also where a gap moves a fire past midnight: in every zone whose gap touches midnight."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest

from chalicelib.core.local_time import DAY, epoch_seconds, from_seconds, offset_at, to_local
from chalicelib.core.schedules.business_days import Calendar
from chalicelib.core.schedules.dst import LONGEST_SHIFT
from chalicelib.core.schedules.fires import upcoming
from chalicelib.core.schedules.preview import preview_fires
from chalicelib.core.schedules.window import resolve
from chalicelib.core.schedules.written_date import written_date
from tests.support.schedules import cron, daily, utc

NUUK = "America/Nuuk"
# Between two looks at a zone's clock. Summer time lasts longer, in all zones that change at midnight.
STEP = 28 * DAY


@cache
def gaps_at_midnight() -> list[tuple[str, int]]:
    """Zones and the ends of their gaps that end or begin at a midnight; of alike ones the zone's first."""
    found: dict[tuple[str, int, int], tuple[str, int]] = {}
    begin, end = (epoch_seconds(datetime(year, 1, 1, tzinfo=UTC)) for year in (1970, 2050))
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        offsets = [(at, offset_at(at, zone)) for at in range(begin, end, STEP)]
        for (low, before), (high, after) in pairwise(offsets):
            if after <= before:
                continue
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_at(middle, zone) == before else (low, middle)
            gap = offset_at(high, zone) - before
            first, last = (high + before) % DAY, (high + before + gap) % DAY
            if 0 < gap <= LONGEST_SHIFT and (last <= first or first == 0):
                found.setdefault((name, first, last), (name, high))
    return list(found.values())


def test_there_are_zones_of_each_sort() -> None:
    edges = {
        ((end + offset_at(end - 1, ZoneInfo(name))) % DAY, (end + offset_at(end, ZoneInfo(name))) % DAY)
        for name, end in gaps_at_midnight()
    }
    assert any(first == 0 for first, _ in edges), "begins at midnight"
    assert any(last == 0 for _, last in edges), "ends at midnight"
    assert {"America/Nuuk", "America/Scoresbysund", "Africa/Cairo"} <= {name for name, _ in gaps_at_midnight()}
    assert len(gaps_at_midnight()) > 60


TIMES = ["22:30", "23:00", "23:30", "23:59", "00:00", "00:15", "00:30", "01:00"]
WINDOWS = [
    {"type": "yesterday"},
    {"type": "last", "n": 1, "unit": "day"},
    {"type": "custom", "start": {"trunc": "day", "offset": -1}, "end": {"trunc": "day"}},
]


def test_windows_of_a_day_tile_in_every_zone_whose_gap_touches_midnight() -> None:
    wrong = []
    for number, (name, end) in enumerate(gaps_at_midnight()):
        for at in TIMES:
            by_calendar = daily(timezone=name, at=at, anchor="1970-01-01T00:00:00Z")
            schedule = by_calendar if number % 2 else at_time(name, at)
            fires = upcoming(schedule, after=from_seconds(end - 3 * DAY), count=6)
            days = [written_date(schedule, fire) for fire in fires]
            for window in WINDOWS:
                found = [
                    resolve(window, scheduled_for=fire, timezone=name, written_on=day)
                    for fire, day in zip(fires, days, strict=True)
                ]
                if any(earlier[1] != later[0] or later[0] >= later[1] for earlier, later in pairwise(found)):
                    wrong.append((name, from_seconds(end), at, window["type"]))
    assert not wrong, wrong[:10]


def at_time(name: str, at: str) -> dict[str, Any]:
    hour, minute = at.split(":")
    return cron(f"{int(minute)} {int(hour)} * * *", timezone=name)


def test_nuuk_exports_each_day_once() -> None:
    """The clocks go from 23:00 to 0:00 on the night of 28 March 2026: `30 23` fires at 0:00 of the 29th."""
    schedule = at_time(NUUK, "23:30")
    fires = upcoming(schedule, after=utc("2026-03-27T12:00Z"), count=3)
    assert [to_local(fire, ZoneInfo(NUUK)).strftime("%d %H:%M") for fire in fires] == [
        "27 23:30",
        "29 00:00",
        "29 23:30",
    ]
    assert [written_date(schedule, fire).day for fire in fires] == [27, 28, 29]
    shown = preview_fires(schedule, after=utc("2026-03-27T12:00Z"), count=3, window={"type": "yesterday"})
    assert [to_local(fire.window_start, ZoneInfo(NUUK)).day for fire in shown if fire.window_start] == [26, 27, 28]


@pytest.mark.parametrize(
    ("window", "start"),
    [
        ({"type": "month_to_date"}, "01"),
        ({"type": "previous_week"}, "16"),
        ({"type": "custom", "start": {"trunc": "week"}, "end": {}}, "23"),
    ],
)
def test_weeks_and_months_are_those_of_the_written_date(window: dict[str, Any], start: str) -> None:
    """The fire of Saturday the 28th, moved to Sunday; a week that begins on Sunday has not begun by it."""
    schedule = at_time(NUUK, "23:30")
    [fire] = upcoming(schedule, after=utc("2026-03-28T12:00Z"), count=1)
    of_week = {"week_start": "SUN"} if "week" in str(window) else {}
    found, _ = resolve(
        {**window, **of_week}, scheduled_for=fire, timezone=NUUK, written_on=written_date(schedule, fire)
    )
    expected = {"16": "15", "23": "22"}.get(start, start)
    assert to_local(found, ZoneInfo(NUUK)).strftime("%d") == expected


@pytest.mark.parametrize(
    ("schedule", "written"),
    [
        # Due at the end of the gap anyway: that is its own date.
        (cron("0 0 * * *", timezone=NUUK), 29),
        (cron("0,30 0,23 * * *", timezone=NUUK), 29),
        # Not due on the date after.
        (cron("0,30 0,23 28 3 *", timezone=NUUK), 28),
        # Nothing is moved: a fire in the gap is skipped.
        (cron("0 0 * * *", timezone=NUUK, dst_policy="literal"), 29),
        (cron("30 23 28 3 *", timezone=NUUK, dst_policy="literal"), 29),
        ({"type": "interval", "every": 1, "unit": "hour", "timezone": NUUK, "anchor": "2026-01-01T00:00:00Z"}, 29),
    ],
)
def test_a_fire_at_the_end_of_a_gap_that_is_due_there_anyway_keeps_its_date(
    schedule: dict[str, Any], written: int
) -> None:
    assert written_date(schedule, utc("2026-03-29T01:00Z")) == date(2026, 3, written)


def test_any_other_instant_has_its_local_date() -> None:
    for hours in range(0, 72, 5):
        at = utc("2026-03-27T02:30Z") + timedelta(hours=hours)
        assert written_date(at_time(NUUK, "23:30"), at) == to_local(at, ZoneInfo(NUUK)).date()


def test_a_gap_that_begins_at_midnight_moves_nothing_to_another_date() -> None:
    """The clocks of Cairo go from 0:00 to 1:00 on Friday, 24 April 2026."""
    end = utc("2026-04-23T22:00Z")
    for expression in ("0 9 * * MON", "30 0 * * *", "30 23 * * THU"):
        assert written_date(cron(expression, timezone="Africa/Cairo"), end) == date(2026, 4, 24)


def test_a_fire_that_days_off_moved_to_the_end_of_a_gap_keeps_its_date() -> None:
    """Sunday the 29th is a working day of this calendar, and Saturday is off."""
    calendar = Calendar(days={date(2026, 3, 29): True})
    schedule = cron("0,30 0,23 28 3 *", timezone=NUUK, on_non_business="next")
    fire = upcoming(schedule, after=utc("2026-03-28T00:00Z"), count=1, calendar=calendar)[0]
    assert fire == utc("2026-03-29T01:00Z")
    assert written_date(schedule, fire, calendar=calendar) == date(2026, 3, 29)
