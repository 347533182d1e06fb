"""Jobs made long after their slot: lists show them, and what was asked to run late is not late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.ids import EARLY, month_bucket
from chalicelib.core.lifecycle import ENDED, JobStatus
from chalicelib.jobs import listing
from chalicelib.maintenance import integrity
from chalicelib.store import watches
from chalicelib.store.job_list_plan import JobFilter
from chalicelib.store.job_record import JobRecord
from chalicelib.store.watches import Watched
from tests.support.simulator import Stage

IN_2020: dict[str, Any] = {"type": "once", "at": "2020-01-15T08:00:00", "timezone": "UTC", "run_if_past": True}


def listed(stage: Stage, **wanted: Any) -> list[str]:
    page = listing.listing(JobFilter(**wanted), now=stage.now)
    assert page.total == len(page.items)
    return [job.job_id for job in page.items]


@pytest.fixture
def early(stage: Stage) -> JobRecord:
    """A job of a slot in 2020, beside two of today."""
    stage.task(schedule={"type": "now"})
    stage.task(schedule=IN_2020)
    stage.task(schedule={"type": "now"})
    stage.minutes(1)
    found = [job for job in stage.jobs() if job.scheduled_for.year == 2020]
    assert len(found) == 1
    return found[0]


def test_a_list_without_a_filter_has_jobs_of_old_slots(stage: Stage, early: JobRecord) -> None:
    everything = listed(stage)
    assert len(everything) == 3
    assert everything[-1] == early.job_id, "in the order of the ids"
    assert everything == listed(stage, kind="probe")
    assert listed(stage, created_to=datetime(2021, 1, 1, tzinfo=UTC)) == [early.job_id]
    assert listed(stage, created_from=datetime(2021, 1, 1, tzinfo=UTC)) == everything[:-1]
    assert early.month == EARLY


@pytest.mark.parametrize("misfire", ["skip", "fire_once", "catch_up"])
def test_what_was_asked_to_run_late_runs_and_is_not_late(stage: Stage, misfire: str) -> None:
    stage.task(schedule=IN_2020, misfire=misfire, queue_wait_limit_seconds=60, priority=0)
    stage.minutes(1)
    [job] = stage.jobs()
    assert (job.status, job.scheduled_for.year, job.late) == (JobStatus.SUCCEEDED, 2020, False)
    assert job.lateness_seconds == 0
    assert job.enqueued_at == job.created_at, "it goes before no job that waits already"


def test_a_job_of_a_long_outage_is_late(stage: Stage) -> None:
    stage.task(schedule={"type": "cron", "expression": "0 10 * * *"})
    stage.world.forward(days=3)
    stage.minutes(2)
    late = [job for job in stage.jobs() if job.late]
    assert [job.lateness_seconds for job in late] == [timedelta(hours=23).total_seconds()]
    assert len(listed(stage)) == len(stage.jobs())


def test_the_integrity_check_moves_old_slots_recorded_before_to_where_lists_find_them(
    stage: Stage, early: JobRecord
) -> None:
    early.month = month_bucket(early.job_id)
    early.save()
    assert early.job_id not in listed(stage)
    watches.begin(Watched.PATROL, integrity.EARLY, at=stage.now)
    repaired = 0
    for _ in ENDED:
        repaired += integrity.take_turn(integrity.EARLY, now=stage.now).repaired
        stage.world.now += integrity.EVERY
    assert repaired == 1
    assert early.job_id in listed(stage)
