"""The dates of expressions against a look at every single day, and the work that finding them takes."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Any

import pytest

from chalicelib.core.schedules import cron, day_times, dst, plan
from chalicelib.core.schedules.cron import parse
from chalicelib.core.schedules.fires import latest_fire, upcoming
from chalicelib.core.schedules.preview import preview_fires
from tests.core.schedules.expressions import Meets, number_field, special_day, special_weekday

# Years with every form: leap, common, a century that is not leap, one that is.
SPAN = timedelta(days=500)
STARTS = [date(1999, 10, 1), date(2026, 1, 1), date(2047, 7, 1), date(2099, 11, 1), date(2103, 12, 1)]


def listed(
    pick: random.Random,
    low: int,
    high: int,
    special: Callable[[random.Random], tuple[str, Meets]],
    value: Callable[[date], int],
) -> tuple[str, Meets]:
    """A day field of up to 12 items, numbers and specials mixed, and whether a date meets it."""
    texts: list[str] = []
    meets: list[Meets] = []
    for _ in range(pick.choice([1, 1, 2, 3, 12])):
        if pick.random() < 0.5:
            text, condition = special(pick)
        else:
            text, values = number_field(pick, low, high)
            condition = _among(values, value)
        texts.append(text)
        meets.append(condition)
    return ",".join(texts), lambda day: any(condition(day) for condition in meets)


def _among(values: frozenset[int], value: Callable[[date], int]) -> Meets:
    return lambda day: value(day) in values


def random_dates(pick: random.Random) -> tuple[str, Meets]:
    day, meets_day = listed(pick, 1, 31, special_day, lambda day: day.day)
    weekday, meets_weekday = listed(pick, 0, 6, special_weekday, lambda day: day.isoweekday() % 7)
    if pick.random() < 0.3:
        day, meets_day = "*", lambda day: True
    if pick.random() < 0.3:
        weekday, meets_weekday = "*", lambda day: True
    month, months = number_field(pick, 1, 12)
    both = day[0] == "*" or weekday[0] == "*"

    def meets(on: date) -> bool:
        if on.month not in months:
            return False
        return (meets_day(on) and meets_weekday(on)) if both else (meets_day(on) or meets_weekday(on))

    return f"0 0 {day} {month} {weekday}", meets


@pytest.mark.parametrize("block", range(20))
def test_the_dates_are_those_of_a_look_at_every_day(block: int) -> None:
    pick = random.Random(f"dates {block}")
    for _ in range(120):
        text, meets = random_dates(pick)
        if len(text) > cron.MAX_LENGTH:
            continue
        first = pick.choice(STARTS) + timedelta(days=pick.randrange(300))
        last = first + SPAN
        expected = [day for day in (first + timedelta(days=k) for k in range(SPAN.days + 1)) if meets(day)]

        assert list(takewhile(lambda day: day <= last, parse(text).dates(first))) == expected, text  # noqa: B023
        back = takewhile(lambda day: day >= first, parse(text).dates_back(last))  # noqa: B023
        assert list(back) == expected[::-1], text


@pytest.mark.parametrize("leap_day_on", range(7))
def test_the_rarest_date_is_found_over_400_years_of_the_calendar(leap_day_on: int) -> None:
    """The Gregorian calendar repeats after 400 years; those before 2199 hold each of its gaps, the longest too."""
    expected = [
        day
        for year in range(1800, 2200)
        if year % 4 == 0 and (year % 100 or year % 400 == 0)
        for day in [date(year, 2, 29)]
        if day.isoweekday() % 7 == leap_day_on
    ]
    expression = parse(f"0 0 */28 2 {leap_day_on}")  # the 1st and the 29th
    found = [day for day in expression.dates(date(1800, 1, 1)) if day.day == 29]
    back = [day for day in expression.dates_back(date(2199, 12, 31)) if day.day == 29 and day.year >= 1800]

    assert found == expected
    assert back == expected[::-1]


W_LIST = ",".join(f"{day}W" for day in range(1, 32))
NTH_LIST = ",".join(f"{weekday}#{nth}" for weekday in range(7) for nth in range(1, 6))
# What once took seconds, and what the shapes of a walk are worst at.
DEMANDING = [
    (f"0 0 */31,{W_LIST} * 0#1,1#2,2#3,6#5", "UTC"),
    (f"0 0 */31,L-1W,LW,L-2,15W * {NTH_LIST}", "UTC"),
    (f"0 0 */31,{W_LIST} 2 {NTH_LIST[:100].rpartition(',')[0]}", "UTC"),
    ("* * * * * *", "America/New_York"),
    ("1-59 * * * * *", "Australia/Lord_Howe"),
    ("* * * 1 1 *", "America/New_York"),
    ("0 0 30 2 *", "UTC"),
    ("0 0 30W 2 *", "UTC"),
    ("0 0 */29 2 */7", "UTC"),
    ("0 0 L-30 2,4,6 *", "UTC"),
    ("* * * 29 2 */7", "America/New_York"),
    ("0 0 0 1 1 * 2199", "UTC"),
]
# Calls of functions, in Python and in C. A call of this code takes 0.1 to 0.5 microseconds, so these are 10 ms.
MOST_CALLS = 20_000
CHANGES = [
    datetime.fromisoformat(text) for text in ("2026-03-08T06:59:00Z", "2026-11-01T05:30:00Z", "2026-04-04T14:59Z")
]


def calls(work: Callable[[], object]) -> int:
    """How many functions a piece of work calls when nothing is in a cache."""
    for each in (cron.parse, dst.only_offset, dst._across_change, day_times.times_of_day, plan._compiled):
        each.cache_clear()
    count = 0

    def counted(frame: Any, what: str, argument: Any) -> None:
        nonlocal count
        count += what in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def rule(expression: str, zone: str, **over: Any) -> dict[str, Any]:
    return {"type": "cron", "expression": expression, "timezone": zone, **over}


@pytest.mark.parametrize("after", CHANGES, ids=str)
@pytest.mark.parametrize(("expression", "zone"), DEMANDING)
def test_the_work_of_one_next_is_bounded(expression: str, zone: str, after: datetime) -> None:
    schedule = rule(expression, zone)

    assert calls(lambda: upcoming(schedule, after=after, count=1)) < MOST_CALLS
    assert calls(lambda: latest_fire(schedule, at_or_before=after)) < MOST_CALLS


@pytest.mark.parametrize("window", [None, {"type": "since_previous_fire"}, {"type": "yesterday"}], ids=str)
@pytest.mark.parametrize(("expression", "zone"), DEMANDING)
def test_a_preview_of_100_is_at_most_ten_times_one_next(
    expression: str, zone: str, window: dict[str, str] | None
) -> None:
    schedule = rule(expression, zone)

    work = calls(lambda: preview_fires(schedule, after=CHANGES[0], count=100, window=window))

    assert work < 10 * MOST_CALLS


@pytest.mark.parametrize("block", range(6))
def test_the_work_of_one_next_is_bounded_for_random_expressions(block: int) -> None:
    pick = random.Random(f"work {block}")
    for _ in range(25):
        text, _ = random_dates(pick)
        if len(text) > cron.MAX_LENGTH:
            continue
        schedule = rule(text, "America/New_York", on_non_business=pick.choice(["run", "skip", "next", "previous"]))

        assert calls(lambda: upcoming(schedule, after=CHANGES[0], count=1)) < MOST_CALLS, text  # noqa: B023


def test_days_off_without_end_are_not_walked_for_ever() -> None:
    schedule = rule("0 9 * * SUN", "UTC", on_non_business="skip")
    weekly = {"type": "calendar", "every": 1, "unit": "week", "weekdays": ["SUN"], "at": "09:00", "timezone": "UTC"}

    for each in (schedule, {**weekly, "on_non_business": "skip"}):
        assert upcoming(each, after=CHANGES[0], count=1) == []
        assert calls(lambda: upcoming(each, after=CHANGES[0], count=1)) < MOST_CALLS  # noqa: B023


def test_many_times_a_day_are_not_listed() -> None:
    """A list of 86,400 numbers takes 3 MB, and thousands of schedules are kept compiled."""
    times = parse("* * * * * *").times

    assert len(times) == 86_400
    assert not isinstance(times, tuple)
    assert [times[0], times[59], times[60], times[-1]] == [0, 59, 60, 86_399]
    assert list(islice(times[3600:], 2)) == [3600, 3601]


@pytest.mark.parametrize("seed", range(60))
def test_the_closest_pair_of_many_times_is_that_of_all_pairs(seed: int) -> None:
    pick = random.Random(f"closest {seed}")
    parts = [frozenset(pick.sample(range(size), pick.randrange(1, size))) for size in (24, 60, 60)]
    times = day_times.TimesOfDay(
        *(tuple(sorted(part)) for part in parts), 0, len(parts[0]) * len(parts[1]) * len(parts[2])
    )
    begin = pick.randrange(len(times))
    part = times[begin : pick.randrange(begin, len(times)) + 1]
    all_of_it = list(part)
    closest = min((later - earlier for earlier, later in pairwise(all_of_it)), default=None)

    pair = day_times.closest_pair(part)

    assert (None if pair is None else pair[1] - pair[0]) == closest
