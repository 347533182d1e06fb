"""What holds for every schedule."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from chalicelib.core.schedules.cron import canonical
from chalicelib.core.schedules.fires import accept_schedule, fires_after, latest_fire, upcoming
from chalicelib.core.schedules.preview import preview_fires
from chalicelib.errors import InvalidSchedule
from tests.core.schedules.expressions import known

ZONES = [
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Pacific/Chatham",
    "Europe/Dublin",
    "Asia/Shanghai",
]
SECOND = timedelta(seconds=1)

instants = st.datetimes(datetime(1995, 1, 1), datetime(2045, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
zones = st.sampled_from(ZONES)
policies = st.sampled_from(["vixie", "literal", "skip_once"])
rolls = st.sampled_from(["run", "run", "skip", "next", "previous", "modified_following"])
expressions = st.integers(0, 10**9).map(lambda seed: known(random.Random(seed)).text)


@st.composite
def cron_schedules(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "type": "cron",
        "expression": draw(expressions),
        "timezone": draw(zones),
        "dst_policy": draw(policies),
        "on_non_business": draw(rolls),
    }


@st.composite
def calendar_schedules(draw: st.DrawFn) -> dict[str, Any]:
    unit = draw(st.sampled_from(["day", "week", "month"]))
    schedule: dict[str, Any] = {
        "type": "calendar",
        "every": draw(st.integers(1, 40)),
        "unit": unit,
        "at": draw(st.times()).strftime("%H:%M:%S"),
        "timezone": draw(zones),
        "anchor": draw(instants),
        "on_non_business": draw(rolls),
    }
    if unit == "week":
        schedule["weekdays"] = sorted(draw(st.sets(st.integers(0, 6), min_size=1)))
    if unit == "month":
        days = st.one_of(st.integers(1, 31), st.sampled_from(["last", "last-29", "TUE#5", "FRI#last", "last-weekday"]))
        schedule["month_day"] = draw(days)
        schedule["if_missing"] = draw(st.sampled_from(["clamp", "skip"]))
    return schedule


intervals = st.builds(
    lambda every, unit, zone, anchor: {
        "type": "interval",
        "every": every,
        "unit": unit,
        "timezone": zone,
        "anchor": anchor,
    },
    st.integers(1, 10_000),
    st.sampled_from(["second", "minute", "hour"]),
    zones,
    instants.map(lambda instant: instant.replace(microsecond=0)),
)


def whole_seconds(schedule: dict[str, Any]) -> dict[str, Any]:
    if "anchor" in schedule:
        schedule["anchor"] = schedule["anchor"].replace(microsecond=0)
    return schedule


schedules = st.one_of(cron_schedules(), calendar_schedules(), intervals).map(whole_seconds)


@given(schedules, instants)
@settings(max_examples=150, deadline=None)
def test_fires_strictly_increase_and_do_not_depend_on_where_one_starts(schedule: dict[str, Any], after: datetime):
    fires = upcoming(schedule, after=after, count=8)

    assert all(earlier < later for earlier, later in pairwise([after, *fires]))
    one_by_one: list[datetime] = []
    for _ in fires:
        one_by_one += upcoming(schedule, after=one_by_one[-1] if one_by_one else after, count=1)
    assert one_by_one == fires
    assert [fire.at for fire in preview_fires(schedule, after=after, count=8)] == fires
    assert all(fire.tzinfo is UTC and not fire.microsecond for fire in fires)


@given(schedules, instants)
@settings(max_examples=100, deadline=None)
def test_the_latest_fire_is_the_one_before_the_next(schedule: dict[str, Any], after: datetime):
    fires = upcoming(schedule, after=after, count=4)

    for earlier, later in pairwise(fires):
        assert latest_fire(schedule, at_or_before=earlier) == earlier
        assert latest_fire(schedule, at_or_before=later - SECOND) == earlier


@given(cron_schedules(), instants)
@settings(max_examples=100, deadline=None)
def test_the_canonical_form_fires_at_the_same_times(schedule: dict[str, Any], after: datetime):
    stored = {**schedule, "expression": canonical(schedule["expression"])}

    assert canonical(stored["expression"]) == stored["expression"]
    assert upcoming(stored, after=after, count=6) == upcoming(schedule, after=after, count=6)


# A schedule that is refused, which random choice seldom makes.
ONLY_SUNDAYS = {
    "type": "calendar", "every": 1, "unit": "week", "at": "00:00:00", "timezone": "UTC", "weekdays": [0],
    "anchor": datetime(2000, 1, 1, tzinfo=UTC), "on_non_business": "skip",
}  # fmt: skip


@given(st.one_of(calendar_schedules(), intervals).map(whole_seconds), instants)
@example(schedule=ONLY_SUNDAYS, now=datetime(2000, 1, 1, tzinfo=UTC))
@settings(max_examples=100, deadline=None)
def test_what_is_accepted_fires_as_what_was_given(schedule: dict[str, Any], now: datetime):
    try:
        stored, refusal = accept_schedule(schedule, now=now, minimum_gap_seconds=0), ""
    except InvalidSchedule as error:
        stored, refusal = {}, error.message

    if refusal:
        # Only Sundays, say, and every day off is skipped.
        assert refusal.startswith("never_fires")
        assert upcoming(schedule, after=now, count=1) == []
        return
    assert accept_schedule(stored, now=now + timedelta(days=3), minimum_gap_seconds=0) == stored
    assert upcoming(stored, after=now, count=5) == upcoming(schedule, after=now, count=5)


@given(intervals, zones, instants)
@settings(max_examples=60, deadline=None)
def test_an_interval_ignores_clocks(schedule: dict[str, Any], zone: str, after: datetime):
    fires = upcoming(schedule, after=after, count=5)

    assert len({later - earlier for earlier, later in pairwise(fires)}) == 1
    assert upcoming({**schedule, "timezone": zone}, after=after, count=5) == fires


@given(cron_schedules(), instants, st.integers(0, 400), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_a_range_cuts_and_changes_nothing_else(schedule: dict[str, Any], after: datetime, begin: int, length: int):
    start = after.replace(microsecond=0) + timedelta(hours=begin)
    end = start + timedelta(hours=length)

    ranged = upcoming({**schedule, "start": start, "end": end}, after=after, count=30)

    unranged = []
    for fire in fires_after(schedule, after=max(after, start - SECOND)):
        if fire > end or len(unranged) == 30:
            break
        unranged.append(fire)
    assert ranged == unranged
