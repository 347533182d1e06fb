"""The next fire of a schedule, asked again and again, against croniter in the same run."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from croniter import croniter

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from chalicelib.core.schedules.fires import upcoming
from chalicelib.core.schedules.preview import preview_fires

ROUNDS = 7
FIRES = 400
TARGET = 1.0
START = datetime(2026, 1, 1, tzinfo=UTC)
EXPRESSIONS = [
    "0 9 * * *",
    "30 2 * * 1-5",
    "0 0 1,15 * *",
    "0 0 13 * 5",
    "0 0 29 2 *",
    "*/5 8-17 * * 1-5",
    "0 9 * * 1#1",
]
W_LIST = ",".join(f"{day}W" for day in range(1, 32))
# A day field that once took seconds; many times a day near a change of the clocks; a date that never comes.
DEMANDING = [f"0 0 */31,{W_LIST} * 0#1,1#2,2#3,6#5", "* * * * * *", "0 0 30 2 *"]


def ours(expression: str) -> Callable[[], None]:
    schedule = {"type": "cron", "expression": expression, "timezone": "America/New_York"}

    def work() -> None:
        after = START
        for _ in range(FIRES):
            (after,) = upcoming(schedule, after=after, count=1)
            if after.year > 2090:
                after = START

    return work


def theirs(expression: str) -> Callable[[], None]:
    """One object that is kept, without a zone: the quickest way to ask it."""

    def work() -> None:
        walker = croniter(expression, START, max_years_between_matches=61)
        for _ in range(FIRES):
            if walker.get_next(datetime).year > 2090:
                walker.set_current(START)

    return work


def microseconds(work: Callable[[], object], calls: int) -> float:
    begin = time.process_time()
    work()
    return (time.process_time() - begin) / calls * 1e6


def main() -> None:
    print(f"{'expression':<20} {'next':>8} {'croniter':>9} {'ratio':>6}   (to reach: {TARGET})")
    for expression in EXPRESSIONS:
        pair = ours(expression), theirs(expression)
        times = [[microseconds(work, FIRES) for work in pair] for _ in range(ROUNDS)]
        own, other = (statistics.median(column) for column in zip(*times, strict=True))
        verdict = "holds" if own / other <= TARGET else "MISSED"
        print(f"{expression:<20} {own:>5.0f} us {other:>6.0f} us {own / other:>6.2f}   {verdict}")
    near_a_change = datetime.fromisoformat("2026-03-08T06:59:00Z")
    for expression in DEMANDING:
        schedule = {"type": "cron", "expression": expression, "timezone": "America/New_York"}
        first = microseconds(lambda: upcoming(schedule, after=near_a_change, count=1), 1000)  # noqa: B023
        shown = microseconds(lambda: preview_fires(schedule, after=near_a_change, count=100), 1000)  # noqa: B023
        print(f"{expression[:20]:<20} {first:>5.1f} ms the first time, {shown:.1f} ms a preview of 100")


if __name__ == "__main__":
    main()
