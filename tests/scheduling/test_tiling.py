"""Windows tile the time line for every product of misfire policy, days off, window, overlap policy and zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.clock import Clock
from chalicelib.core.lifecycle import OPEN
from chalicelib.maintenance import sweep
from chalicelib.queue import claim
from chalicelib.scheduling import tick
from chalicelib.store.job_record import JobRecord
from chalicelib.tasks import editing
from chalicelib.worker.worker import handle
from tests.model.aws import Aws
from tests.model.playing import playing
from tests.model.tiling import slots_of, untiled
from tests.support.simulator import OPERATOR, WORK_TIME
from tests.support.world import STAGE

SINCE = {"type": "since_previous_fire"}
UNION = {"policy": "fire_once", "union": True}
SCHEDULES: list[dict[str, Any]] = [
    {"type": "calendar", "every": 1, "unit": "day", "at": "02:30:00"},
    {"type": "cron", "expression": "30 23 * * *"},
    {"type": "cron", "expression": "0 */6 * * *"},
    {"type": "calendar", "every": 1, "unit": "week", "at": "00:00:00", "weekdays": ["MON", "SAT"]},
]
ZONES = ["UTC", "America/New_York", "America/Nuuk", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Shanghai"]
# Hours that pass, whether the tokens that are due arrive then, and whether the task is edited.
STEP = st.tuples(
    st.sampled_from([1, 6, 23, 24, 25, 24 * 4, 24 * 17]), st.booleans(), st.sampled_from([False] * 5 + [True])
)


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with playing() as made:
        yield made


def deliver(aws: Aws) -> None:
    for message in aws.queue.due():
        clock = Clock(now=lambda: aws.now, sleep=aws.forward)
        handle(message.body, worker=claim.Worker("worker", aws.now + WORK_TIME, clock, watched=False))
        aws.queue.done(message)


def records(aws: Aws) -> list[JobRecord]:
    items = aws.tables.tables[f"{STAGE}-jobs"].items
    return [JobRecord.from_raw_data(item) for (job_id,), item in items.items() if "." not in job_id]


def play(aws: Aws, body: dict[str, Any], begin: datetime, steps: list[tuple[int, bool, bool]]) -> str:
    """Let the task live through the steps and come to rest; its id."""
    aws.empty()
    aws.now = begin
    task = editing.create({"name": "tiled", "kind": "probe", **body}, actor=OPERATOR, now=aws.now)
    for hours, arrive, edited in steps:
        aws.forward(hours * 3600)
        if edited:
            editing.patch(task.task_id, {"description": str(aws.now)}, revision=None, actor=OPERATOR, now=aws.now)
        tick.tick(now=aws.now)
        sweep.sweep(now=aws.now)
        if arrive:
            deliver(aws)
    editing.disable(task.task_id, actor=OPERATOR, now=aws.now)
    while any(job.status in OPEN for job in records(aws)):
        aws.forward(3600)
        sweep.sweep(now=aws.now)
        deliver(aws)
    return str(task.task_id)


COMMON: dict[str, Any] = {
    "schedule": st.sampled_from(SCHEDULES),
    "zone": st.sampled_from(ZONES),
    "overlap": st.sampled_from(["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"]),
    "begin": st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - given its zone below
    "steps": st.lists(STEP, min_size=12, max_size=40),
}
PLAYED = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@PLAYED
@given(
    days=st.sampled_from(["run", "skip", "skip", "next"]),
    misfire=st.sampled_from(["fire_once", "skip", "catch_up", UNION]),
    **COMMON,
)
def test_windows_since_the_previous_fire_tile_whatever_happens(
    aws: Aws, schedule: Any, zone: str, overlap: str, begin: datetime, steps: Any, days: str, misfire: Any
) -> None:
    schedule = {**schedule, "timezone": zone, "on_non_business": days}
    begin = begin.replace(microsecond=0, tzinfo=UTC)
    body = {"schedule": schedule, "window": SINCE, "misfire": misfire, "overlap": overlap}
    task_id = play(aws, body, begin, steps)
    found = slots_of(task_id, records(aws), union=misfire == UNION)
    assert untiled(found, begin=begin) == []


@PLAYED
@given(days=st.sampled_from(["run", "skip"]), misfire=st.sampled_from(["fire_once", "skip", "catch_up"]), **COMMON)
def test_each_day_has_the_window_of_one_record(
    aws: Aws, schedule: Any, zone: str, overlap: str, begin: datetime, steps: Any, days: str, misfire: Any
) -> None:
    """Of windows that the slot alone gives, the records of all slots tile, run or not."""
    daily = SCHEDULES[SCHEDULES.index(schedule) % 2]
    schedule = {**daily, "timezone": zone, "on_non_business": days}
    body = {"schedule": schedule, "window": {"type": "yesterday"}, "misfire": misfire, "overlap": overlap}
    play(aws, body, begin.replace(microsecond=0, tzinfo=UTC), steps)
    windows = [(job.window_start, job.window_end) for job in sorted(records(aws), key=lambda job: job.scheduled_for)]
    assert all(earlier[1] == later[0] for earlier, later in pairwise(windows))
    assert all(timedelta(hours=22) < end - start < timedelta(hours=26) for start, end in windows)
