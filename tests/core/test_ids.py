from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.core.ids import month_bucket, months_between, timeline_key, timeline_keys, ulid

YEAR_END = datetime(2025, 12, 31, 23, tzinfo=UTC)


def test_months_are_those_between_both_ends_included() -> None:
    first, last = YEAR_END, datetime(2026, 2, 1, tzinfo=UTC)
    assert months_between(first, last, oldest_first=True) == ["2025-12", "2026-01", "2026-02"]
    assert months_between(first, last, oldest_first=False) == ["2026-02", "2026-01", "2025-12"]


def test_months_are_those_of_the_ids_made_then() -> None:
    last = YEAR_END + timedelta(days=800)
    made = {month_bucket(ulid(YEAR_END + timedelta(days=day))) for day in range(801)}
    assert months_between(YEAR_END, last) == sorted(made, reverse=True)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (YEAR_END, ["2025-12"]),
        (YEAR_END.replace(day=1), ["2025-12"]),  # before it, in its month
        (YEAR_END.replace(month=11, day=1), []),  # before its month
    ],
)
def test_a_time_that_ends_before_it_begins_has_at_most_its_own_month(last: datetime, expected: list[str]) -> None:
    assert months_between(YEAR_END, last) == expected


def test_the_jobs_of_a_month_are_spread_over_its_shards() -> None:
    ids_made = [ulid(YEAR_END, str(number)) for number in range(400)]
    found = [timeline_key("2025-12", job_id, 4) for job_id in ids_made]
    assert set(found) == set(timeline_keys("2025-12", 4))
    assert max(found.count(key) for key in set(found)) < 140
    assert {timeline_key("2025-12", job_id, 1) for job_id in ids_made} == {"2025-12"}
