"""Previews: local time, flags and windows of the next fires."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.schedules.preview import preview_fires
from chalicelib.errors import InvalidSchedule
from tests.support.schedules import INTERVAL, NEW_YORK, NOW, cron, daily, utc


def test_a_preview_shows_local_time_flags_and_window():
    shown = preview_fires(
        cron("30 1 * * *", timezone=NEW_YORK), after=utc("2026-10-31T12:00Z"), count=2, window={"type": "yesterday"}
    )

    assert [(fire.local, fire.flags) for fire in shown] == [
        ("2026-11-01T01:30:00-04:00", ("fold_first",)),
        ("2026-11-02T01:30:00-05:00", ()),
    ]
    assert shown[1].window_start == utc("2026-11-01T00:00-04:00")
    assert shown[1].window_end == utc("2026-11-02T00:00-05:00")


def test_a_preview_flags_the_passes_of_a_fold_and_the_end_of_a_gap():
    twice = preview_fires(cron("0 * * * *", timezone=NEW_YORK), after=utc("2026-11-01T00:30-04:00"), count=3)
    shifted = preview_fires(cron("30 2 * * *", timezone=NEW_YORK), after=utc("2026-03-07T12:00Z"), count=2)
    due_anyway = preview_fires(cron("0 2,3 * * *", timezone=NEW_YORK), after=utc("2026-03-07T12:00Z"), count=1)

    assert [fire.flags for fire in twice] == [("fold_first",), ("fold_second",), ()]
    assert [fire.flags for fire in shifted] == [("gap_shifted",), ()]
    assert [fire.flags for fire in due_anyway] == [()]


def test_a_preview_has_at_most_a_hundred_fires():
    assert len(preview_fires(cron("@daily"), after=NOW, count=100)) == 100
    with pytest.raises(InvalidSchedule):
        preview_fires(cron("@daily"), after=NOW, count=101)


@pytest.mark.parametrize(
    ("schedule", "first_start"),
    [
        (cron("0 9 * * *"), "2026-04-30T09:00Z"),  # the fire before
        (cron("0 9 * * *", start="2026-04-30T12:00:00Z"), "2026-04-30T12:00Z"),  # none before: the range's start
        ({**INTERVAL, "every": 12, "unit": "hour", "anchor": "2026-05-01T00:00:00Z"}, "2026-05-01T00:00Z"),
        (daily(timezone="UTC", at="12:00", anchor="2026-04-30T18:00:00Z"), "2026-04-30T18:00Z"),
    ],
)
def test_a_preview_of_windows_since_the_previous_fire(schedule: dict[str, Any], first_start: str):
    shown = preview_fires(schedule, after=utc("2026-05-01T00:00Z"), count=3, window={"type": "since_previous_fire"})

    assert shown[0].window_start == utc(first_start)
    assert [fire.window_start for fire in shown[1:]] == [fire.at for fire in shown[:-1]]
    assert [fire.window_end for fire in shown] == [fire.at for fire in shown]
