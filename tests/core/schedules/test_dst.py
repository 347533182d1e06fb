"""What fires around changes of the clock, against a walk over every minute of the days around them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from chalicelib.core.schedules.fires import latest_fire, upcoming
from tests.core.schedules.expressions import Known, known

MINUTE = timedelta(minutes=1)
REACH = timedelta(hours=40)

# Zone, the instant of the change, and what is special about it.
CHANGES = [
    ("America/New_York", "2026-03-08T07:00Z", "an hour forward at 02:00"),
    ("America/New_York", "2026-11-01T06:00Z", "an hour back at 02:00"),
    ("Europe/London", "2026-03-29T01:00Z", "an hour forward at 01:00"),
    ("Europe/London", "2026-10-25T01:00Z", "an hour back, to UTC"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z", "half an hour back"),
    ("Australia/Lord_Howe", "2026-10-03T15:30Z", "half an hour forward"),
    ("Africa/Cairo", "2026-04-23T22:00Z", "forward at midnight"),
    ("Africa/Cairo", "2026-10-29T21:00Z", "back at midnight, into the day before"),
    ("Pacific/Apia", "2011-12-30T10:00Z", "30 December never was"),
    ("America/Sao_Paulo", "2018-02-18T02:00Z", "back at midnight"),
    ("America/Sao_Paulo", "2018-11-04T03:00Z", "forward at midnight"),
    ("Pacific/Chatham", "2026-04-04T14:00Z", "an hour back at 03:45"),
    ("Pacific/Chatham", "2026-09-26T14:00Z", "an hour forward at 02:45"),
    ("Pacific/Kiritimati", "1994-12-31T10:00Z", "31 December never was"),
    ("Africa/Casablanca", "2026-02-15T02:00Z", "back for Ramadan"),
    ("Africa/Casablanca", "2026-03-22T02:00Z", "forward after Ramadan"),
    ("America/St_Johns", "2011-03-13T03:31Z", "forward at 00:01"),
    ("America/St_Johns", "2010-11-07T02:31Z", "back at 00:01, into the day before"),
    ("Antarctica/Troll", "2026-03-29T01:00Z", "two hours forward"),
    ("Antarctica/Troll", "2026-10-25T01:00Z", "two hours back"),
    ("America/Nuuk", "2024-03-31T01:00Z", "an hour forward, to midnight"),
    ("America/Toronto", "1919-03-31T04:30Z", "an hour forward, across midnight"),
    ("America/Toronto", "1969-04-27T07:00Z", "an hour forward before 1970"),
    ("Pacific/Kwajalein", "1969-09-30T13:00Z", "almost a day back"),
    ("Asia/Shanghai", "2026-03-08T07:00Z", "no change at all"),
]
EXPRESSIONS = 30


@dataclass(frozen=True)
class Walk:
    """Every minute around a change: the instant, what the clock shows, and what it skipped just before."""

    zone: str
    minutes: list[tuple[datetime, datetime]]
    skipped: list[tuple[datetime, list[datetime]]]

    @classmethod
    def around(cls, zone: str, change: str) -> Walk:
        tz = ZoneInfo(zone)
        instant = datetime.fromisoformat(change) - REACH
        minutes, skipped = [], []
        previous = None
        while len(minutes) < 2 * REACH / MINUTE:
            local = instant.astimezone(tz).replace(tzinfo=None)
            if previous is not None and local.replace(fold=0) - previous > MINUTE:
                missing = int((local.replace(fold=0) - previous) / MINUTE)
                skipped.append((instant, [previous + k * MINUTE for k in range(1, missing)]))
            minutes.append((instant, local))
            previous = local.replace(fold=0)
            instant += MINUTE
        return cls(zone, minutes, skipped)

    def fires(self, expression: Known) -> dict[str, list[datetime]]:
        """The fires under each policy."""
        shown = [(instant, local.fold) for instant, local in self.minutes if expression.at(local)]
        every = [instant for instant, _ in shown]
        first = [instant for instant, fold in shown if not fold]
        shifted = [
            instant
            for instant, missing in self.skipped
            if len(missing) <= 180 and any(expression.at(local) for local in missing)
        ]
        return {
            "vixie": every if expression.wild else sorted({*first, *shifted}),
            "literal": every,
            "skip_once": first,
        }


@pytest.mark.parametrize(("zone", "change", "why"), CHANGES, ids=[f"{zone}: {why}" for zone, _, why in CHANGES])
def test_the_fires_around_a_change_are_those_of_a_walk_over_every_minute(zone: str, change: str, why: str):
    walk = Walk.around(zone, change)
    begin, end = walk.minutes[0][0], walk.minutes[-1][0]
    pick = random.Random(f"{zone} {change}")
    for _ in range(EXPRESSIONS):
        expression = known(pick)
        for policy, expected in walk.fires(expression).items():
            schedule = {
                "type": "cron",
                "expression": expression.text,
                "timezone": zone,
                "dst_policy": policy,
                "end": end,
            }

            found = upcoming(schedule, after=begin - timedelta(seconds=1), count=len(walk.minutes))

            assert found == expected, (expression.text, policy)
            if expected:
                assert latest_fire(schedule, at_or_before=end) == expected[-1]
            near = begin + REACH + pick.randrange(-90, 90) * MINUTE
            assert upcoming(schedule, after=near, count=3) == [fire for fire in expected if fire > near][:3]


@pytest.mark.parametrize(("zone", "change", "why"), CHANGES[:-1])
def test_the_clock_changes_at_that_very_instant(zone: str, change: str, why: str):
    tz, instant = ZoneInfo(zone), datetime.fromisoformat(change)

    assert instant.astimezone(tz).utcoffset() != (instant - timedelta(seconds=1)).astimezone(tz).utcoffset()


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # New York, 8 March 2026: 02:00-03:00 does not exist. 1 November: 01:00-02:00 comes twice.
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00Z", ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"]),
        ("*/30 2 * * *", "America/New_York", "2026-03-07T12:00Z", ["2026-03-09T02:00-04:00"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00Z", ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]),
        (
            "*/30 * * * *",
            "America/New_York",
            "2026-11-01T00:30-04:00",
            ["2026-11-01T01:00-04:00", "2026-11-01T01:30-04:00", "2026-11-01T01:00-05:00", "2026-11-01T01:30-05:00"],
        ),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00Z", ["2026-04-24T01:00+03:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00Z", ["2026-10-04T02:30+11:00"]),
        (
            "*/20 * * * *",
            "Australia/Lord_Howe",
            "2026-04-05T01:20+11:00",
            ["2026-04-05T01:40+11:00", "2026-04-05T01:40+10:30", "2026-04-05T02:00+10:30"],
        ),
        ("0 12 30 12 *", "Pacific/Apia", "2011-01-01T00:00Z", ["2012-12-30T12:00+14:00"]),
        # Saint John's went back at 00:01: a minute into the 7th, half past eleven of the 6th is still to come again.
        (
            "*/30 * * * *",
            "America/St_Johns",
            "2010-11-07T00:00-02:30",
            ["2010-11-06T23:30-03:30", "2010-11-07T00:00-03:30"],
        ),
        # All times inside one gap make one fire, and so does one that is due at its end anyway.
        (
            "0,10,20 2 * * *",
            "America/New_York",
            "2026-03-07T12:00Z",
            ["2026-03-08T03:00-04:00", "2026-03-09T02:00-04:00"],
        ),
        ("0 2,3 * * *", "America/New_York", "2026-03-07T12:00Z", ["2026-03-08T03:00-04:00", "2026-03-09T02:00-04:00"]),
    ],
)
def test_worked_examples(expression: str, zone: str, after: str, expected: list[str]):
    schedule = {"type": "cron", "expression": expression, "timezone": zone}

    found = upcoming(schedule, after=datetime.fromisoformat(after), count=len(expected))

    assert found == [datetime.fromisoformat(text).astimezone(UTC) for text in expected]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("vixie", ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"]),
        ("literal", ["2026-03-09T02:30-04:00"]),
        ("skip_once", ["2026-03-09T02:30-04:00"]),
    ],
)
def test_kind_calendar_is_fixed(policy: str, expected: list[str]):
    schedule = {
        "type": "calendar",
        "every": 1,
        "unit": "day",
        "at": "02:30",
        "timezone": "America/New_York",
        "dst_policy": policy,
    }

    found = upcoming(schedule, after=datetime.fromisoformat("2026-03-07T12:00Z"), count=len(expected))

    assert found == [datetime.fromisoformat(text).astimezone(UTC) for text in expected]
