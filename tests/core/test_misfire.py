"""Missed slots, decided one by one, add up to what the policy promises of all of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.misfire import Misfire, MisfirePolicy, Verdict, decide
from chalicelib.core.schedules.fires import upcoming
from chalicelib.errors import Invalid

FIRST = datetime(2026, 5, 1, tzinfo=UTC)
HOURLY = [FIRST + timedelta(hours=k) for k in range(200)]


def later_than(slot: datetime) -> Callable[[int], list[datetime]]:
    return lambda n: [fire for fire in HOURLY if fire > slot][:n]


def verdicts(misfire: Misfire, now: datetime) -> list[Verdict]:
    """Of every hourly slot that is due."""
    return [decide(misfire, slot=slot, now=now, later=later_than(slot)) for slot in HOURLY if slot <= now]


@pytest.mark.parametrize("policy", list(MisfirePolicy))
def test_a_slot_is_on_time_until_its_grace_is_over(policy: MisfirePolicy):
    misfire = Misfire(policy)

    for seconds, on_time in ((-30, True), (0, True), (60, True), (61, False)):
        verdict = decide(misfire, slot=FIRST, now=FIRST + timedelta(seconds=seconds), later=later_than(FIRST))
        assert (verdict is Verdict.ON_TIME) is on_time


def test_skip_records_every_missed_slot():
    found = verdicts(Misfire(MisfirePolicy.SKIP), FIRST + timedelta(hours=5, minutes=30))

    assert found == [Verdict.MISSED] * 6


def test_fire_once_runs_the_latest_missed_slot():
    found = verdicts(Misfire(), FIRST + timedelta(hours=5, minutes=30))

    assert found == [Verdict.MISSED] * 5 + [Verdict.RUN_LATE]


def test_fire_once_beside_a_slot_that_is_still_on_time():
    found = verdicts(Misfire(), FIRST + timedelta(hours=5, seconds=20))

    assert found == [Verdict.MISSED] * 4 + [Verdict.RUN_LATE, Verdict.ON_TIME]


def test_fire_once_runs_the_last_slot_of_all():
    verdict = decide(Misfire(), slot=FIRST, now=FIRST + timedelta(days=400), later=lambda n: [])

    assert verdict is Verdict.RUN_LATE


def test_catch_up_runs_every_slot_of_its_window():
    found = verdicts(Misfire(MisfirePolicy.CATCH_UP), FIRST + timedelta(hours=30, minutes=30))

    assert found == [Verdict.MISSED] * 7 + [Verdict.RUN_LATE] * 24


def test_catch_up_keeps_the_newest():
    misfire = Misfire(MisfirePolicy.CATCH_UP, max_catchup=5)

    found = verdicts(misfire, FIRST + timedelta(hours=20, seconds=30))

    # The 21st slot is on time and not one of the five.
    assert found == [Verdict.MISSED] * 15 + [Verdict.RUN_LATE] * 5 + [Verdict.ON_TIME]


def test_no_more_fires_are_asked_for_than_the_answer_needs():
    asked: list[int] = []

    def later(n: int) -> list[datetime]:
        asked.append(n)
        return later_than(FIRST)(n)

    now = FIRST + timedelta(hours=5)
    decide(Misfire(MisfirePolicy.SKIP), slot=FIRST, now=now, later=later)
    decide(Misfire(), slot=FIRST, now=FIRST, later=later)
    assert asked == []
    decide(Misfire(), slot=FIRST, now=now, later=later)
    decide(Misfire(MisfirePolicy.CATCH_UP, max_catchup=7), slot=FIRST, now=now, later=later)
    assert asked == [1, 7]


def test_it_works_with_the_fires_of_a_schedule():
    schedule = {"type": "cron", "expression": "0 0 * * *"}

    verdict = decide(
        Misfire(),
        slot=FIRST,
        now=FIRST + timedelta(days=1, minutes=5),
        later=lambda n: upcoming(schedule, after=FIRST, count=n),
    )

    assert verdict is Verdict.MISSED


@pytest.mark.parametrize(
    ("value", "misfire"),
    [
        (None, Misfire()),
        ("skip", Misfire(MisfirePolicy.SKIP)),
        ("fire_once", Misfire()),
        ({}, Misfire()),
        ({"policy": "fire_once", "union": True, "grace_seconds": 0}, Misfire(union=True, grace_seconds=0)),
        (
            {"policy": "catch_up", "catchup_window_seconds": 2_592_000, "max_catchup": 7, "union": None},
            Misfire(MisfirePolicy.CATCH_UP, catchup_window_seconds=2_592_000, max_catchup=7),
        ),
    ],
)
def test_what_is_accepted(value: Any, misfire: Misfire):
    assert Misfire.accept(value) == misfire
    assert Misfire.accept(misfire.as_json()) == misfire


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("later", "misfire.policy"),
        ("", "misfire.policy"),
        (5, "misfire"),
        (["skip"], "misfire"),
        ({"policy": 1}, "misfire.policy"),
        ({"policy": "skip", "union": True}, "misfire.union"),
        ({"union": "yes"}, "misfire.union"),
        ({"grace_seconds": -1}, "misfire.grace_seconds"),
        ({"grace_seconds": 1.5}, "misfire.grace_seconds"),
        ({"policy": "catch_up", "catchup_window_seconds": 2_592_001}, "misfire.catchup_window_seconds"),
        ({"policy": "catch_up", "max_catchup": 0}, "misfire.max_catchup"),
        ({"policy": "catch_up", "max_catchup": True}, "misfire.max_catchup"),
        ({"speed": 5}, "misfire.speed"),
    ],
)
def test_what_is_refused(value: Any, field: str):
    with pytest.raises(Invalid) as refusal:
        Misfire.accept(value)

    assert refusal.value.field == field


def test_naive_datetimes_are_refused():
    naive = datetime(2026, 5, 1)  # noqa: DTZ001 - what is refused
    for slot, now in ((naive, FIRST), (FIRST, naive)):
        with pytest.raises(Invalid):
            decide(Misfire(), slot=slot, now=now, later=lambda n: [])
