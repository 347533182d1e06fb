"""An edit takes back what planning ahead moved: no slot that the answer names is lost, and no window."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus, Reason
from chalicelib.core.record_bounds import AHEAD_MOST
from chalicelib.scheduling import ahead, slots
from chalicelib.store import tasks as store
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import editing
from tests.support.simulator import OPERATOR, Stage

SINCE = {"type": "since_previous_fire"}
FIVE_PAST = {"type": "cron", "expression": "*/5 * * * *"}
Edit = Callable[[str, Stage], TaskRecord]


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-{text}").replace(tzinfo=UTC)


def windows(stage: Stage) -> list[tuple[datetime, datetime]]:
    """Of the jobs that ran, in the order of their slots."""
    return [(job.window_start, job.window_end) for job in stage.jobs() if job.status == JobStatus.SUCCEEDED]


def assert_tiled(task: TaskRecord, found: list[tuple[datetime, datetime]]) -> None:
    assert found[0][0] == task.created_at
    assert all(before[1] == after[0] for before, after in pairwise(found))


def patch(task_id: str, stage: Stage, **changes: Any) -> TaskRecord:
    return editing.patch(task_id, changes, revision=None, actor=OPERATOR, now=stage.now)


def off_and_on(task_id: str, stage: Stage) -> TaskRecord:
    editing.disable(task_id, actor=OPERATOR, now=stage.now)
    stage.world.forward(seconds=5)
    return editing.enable(task_id, actor=OPERATOR, now=stage.now)


EDITS: dict[str, Edit] = {
    "a description": lambda task_id, stage: patch(task_id, stage, description="edited"),
    "the same schedule": lambda task_id, stage: patch(task_id, stage, schedule=FIVE_PAST),
    "off and on": off_and_on,
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=list(EDITS))
def test_an_edit_shortly_before_its_slot_keeps_the_slot_and_its_window(stage: Stage, edit: Edit) -> None:
    task = stage.task(schedule=FIVE_PAST, window=SINCE)
    stage.minutes(14)
    stage.tick()
    assert store.get(task.task_id).previous_fire_at == at("02 09:15:00"), "it is planned ahead"
    stage.world.forward(seconds=30)
    edited = edit(task.task_id, stage)
    assert slots.next_execution(edited, now=stage.now) == at("02 09:15:00")
    stage.minutes(8)
    assert [end.minute for _, end in windows(stage)] == [5, 10, 15, 20]
    assert_tiled(task, windows(stage))


@pytest.mark.parametrize("edit", EDITS.values(), ids=list(EDITS))
def test_an_edit_takes_back_two_slots_planned_ahead(stage: Stage, edit: Edit) -> None:
    task = stage.task(schedule={**FIVE_PAST, "expression": "* * * * *"}, window=SINCE)
    stage.minutes(3)
    stage.world.forward(seconds=40)
    stage.tick()
    assert store.get(task.task_id).previous_fire_at - stage.now == timedelta(seconds=80)
    edit(task.task_id, stage)
    patch(task.task_id, stage, schedule=FIVE_PAST)
    stage.minutes(4)
    assert_tiled(task, windows(stage))


def test_a_window_reaches_back_over_a_slot_that_an_edit_took_away(stage: Stage) -> None:
    task = stage.task(schedule=FIVE_PAST, window=SINCE)
    stage.minutes(14)
    stage.tick()
    stage.world.forward(seconds=30)
    patch(task.task_id, stage, schedule={"type": "cron", "expression": "17 * * * *"})
    stage.minutes(4)
    assert [end.minute for _, end in windows(stage)] == [5, 10, 17]
    assert_tiled(task, windows(stage))
    [withdrawn] = [job for job in stage.jobs() if job.status == JobStatus.CANCELED]
    assert (withdrawn.scheduled_for.minute, withdrawn.reason) == (15, Reason.BY_POLICY)


def test_a_window_spans_the_time_that_a_task_was_disabled(stage: Stage) -> None:
    task = stage.task(schedule=FIVE_PAST, window=SINCE)
    stage.minutes(14)
    stage.tick()
    stage.world.forward(seconds=30)
    editing.disable(task.task_id, actor=OPERATOR, now=stage.now)
    stage.world.forward(hours=3)
    editing.enable(task.task_id, actor=OPERATOR, now=stage.now)
    stage.minutes(6)
    assert windows(stage)[2] == (at("02 09:10:00"), at("02 12:15:00"))
    assert_tiled(task, windows(stage))


def test_an_edit_keeps_the_union_of_what_was_missed(stage: Stage) -> None:
    """The slot that takes over the missed windows is planned ahead, and taken back by an edit."""
    task = stage.task(schedule=FIVE_PAST, window={"type": "last_n_minutes", "n": 5}, misfire={"union": True})
    record = store.get(task.task_id)
    record.missed_since = missed_since = at("02 08:40:00")
    record.save()
    stage.world.now = at("02 09:04:20")
    stage.tick()
    assert store.get(task.task_id).missed_since is None
    patch(task.task_id, stage, description="edited")
    stage.minutes(2)
    assert [(job.window_start, job.status) for job in stage.jobs()] == [(missed_since, JobStatus.SUCCEEDED)]


@pytest.mark.parametrize("change", ["the description", "the days off", "the calendar's rule and back"])
def test_a_slot_recorded_ahead_as_a_day_off_runs_when_an_edit_says_so(stage: Stage, change: str) -> None:
    hourly = {"type": "cron", "expression": "0 * * * *"}
    skipping = {**hourly, "on_non_business": "skip"}
    task = stage.task(schedule=skipping, window=SINCE)
    stage.world.now = at("07 09:59:00")
    stage.tick()
    [*_, planned] = stage.jobs()
    assert (planned.scheduled_for, planned.reason) == (at("07 10:00:00"), Reason.NON_BUSINESS_DAY)
    stage.world.forward(seconds=20)
    edited = patch(task.task_id, stage, **({"description": "x"} if "description" in change else {"schedule": hourly}))
    if "back" in change:
        edited = patch(task.task_id, stage, schedule=skipping)
    stage.minutes(2)
    found = next(job for job in stage.jobs() if job.scheduled_for == at("07 10:00:00"))
    runs = change == "the days off"
    assert found.status == (JobStatus.SUCCEEDED if runs else JobStatus.SKIPPED)
    promised = at("07 10:00:00") if runs else at("09 00:00:00")
    assert slots.next_execution(edited, now=at("07 09:59:30")) == promised


def test_an_edit_between_a_slot_and_its_delayed_start_does_not_lose_the_slot(stage: Stage) -> None:
    """The start is delayed by jitter; the slot came before the edit."""
    schedule = {"type": "cron", "expression": "0 10 * * *", "jitter_seconds": 600}
    task = stage.task(schedule=schedule, window={"type": "last_hour"}, description="before")
    stage.world.now = at("02 09:59:00")
    stage.tick()
    [job] = stage.jobs()
    assert job.not_before > at("02 10:00:30")
    stage.world.now = at("02 10:00:20")
    patch(task.task_id, stage, description="edited")
    stage.minutes(12)
    [job] = stage.jobs()
    assert (job.status, job.description) == (JobStatus.SUCCEEDED, "before")


@pytest.mark.parametrize("planned_ahead", [False, True])
def test_a_slot_in_the_instant_of_an_edit_is_recorded_as_it_was_defined_before(
    stage: Stage, planned_ahead: bool
) -> None:
    task = stage.task(schedule=FIVE_PAST, window=SINCE, description="before")
    if planned_ahead:
        stage.world.now = at("02 09:04:00")
        stage.tick()
    stage.world.now = at("02 09:05:00")
    patch(task.task_id, stage, description="after")
    stage.minutes(6)
    assert [(job.scheduled_for.minute, job.description) for job in stage.jobs()[:2]] == [(5, "before"), (10, "after")]
    assert_tiled(task, windows(stage))


def test_an_edit_goes_on_from_a_slot_that_a_tick_recorded_meanwhile(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = stage.task(schedule=FIVE_PAST, window=SINCE)
    stage.minutes(2)
    stage.world.now = at("02 09:03:40")
    real = store.overwrite

    def overtaken(edited: TaskRecord, **named: Any) -> bool:
        monkeypatch.setattr(store, "overwrite", real)
        stage.tick()
        return real(edited, **named)

    monkeypatch.setattr(store, "overwrite", overtaken)
    edited = patch(task.task_id, stage, description="edited")
    assert edited.revision == 2
    stage.minutes(8)
    assert_tiled(task, windows(stage))
    assert [end.minute for _, end in windows(stage)] == [5, 10]


def test_a_slot_that_began_while_the_edit_was_written_is_not_covered_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edit's clock stands before the slot, its write comes after the claim."""
    task = stage.task(schedule=FIVE_PAST, window=SINCE)
    stage.world.now = at("02 09:04:40")
    stage.tick()
    asked_at, real = stage.now, store.overwrite

    def slow(edited: TaskRecord, **named: Any) -> bool:
        monkeypatch.setattr(store, "overwrite", real)
        stage.world.now = at("02 09:05:00")
        [job] = stage.jobs()
        job.update([JobRecord.admitted.set(True)])
        return real(edited, **named)

    monkeypatch.setattr(store, "overwrite", slow)
    editing.patch(
        task.task_id,
        {"schedule": {**FIVE_PAST, "expression": "7 * * * *"}},
        revision=None,
        actor=OPERATOR,
        now=asked_at,
    )
    stage.minutes(4)
    assert [end.minute for _, end in windows(stage)] == [5, 7]
    assert_tiled(task, windows(stage))


def test_a_task_planned_ahead_by_an_earlier_version_is_taken_back_by_its_schedule(stage: Stage) -> None:
    task = stage.task(schedule=FIVE_PAST, window=SINCE)
    stage.minutes(14)
    stage.tick()
    record = store.get(task.task_id)
    assert record.ahead is not None
    record.ahead = None
    assert ahead.progress_at(record, stage.now).previous_fire_at == at("02 09:10:00")
    assert ahead.progress_at(record, at("02 09:03:00")).previous_fire_at is None, "it was made after the slot before"


def test_a_task_keeps_an_entry_for_each_slot_to_come_and_no_other(stage: Stage) -> None:
    task = stage.task()
    for _ in range(3):
        stage.minutes(5)
        kept = store.get(task.task_id).ahead or []
        assert 1 <= len(kept) <= 3
    full = store.changed(store.get(task.task_id), ahead=[[n, None, None] for n in range(2_000_000_000, 2_000_000_400)])
    entries = ahead.with_entry(full, stage.now + timedelta(seconds=1), now=stage.now)
    assert entries is not None
    assert len(entries) == AHEAD_MOST
