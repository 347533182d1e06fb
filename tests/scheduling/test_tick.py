from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from chalicelib.core.lifecycle import JobStatus, Reason, Trigger
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.scheduling import tick
from chalicelib.store import tasks as task_store
from chalicelib.tasks import editing as task_editing
from chalicelib.tasks import starts
from tests.support.simulator import OPERATOR, PROBE, Stage


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slots(stage: Stage) -> list[str]:
    return [job.scheduled_for.strftime("%H:%M:%S") for job in stage.jobs()]


def test_a_task_of_every_minute_has_ten_jobs_after_ten_minutes(stage: Stage) -> None:
    stage.task()
    begin = stage.now
    stage.minutes(11)
    past = [job for job in stage.jobs() if begin < job.scheduled_for <= begin + timedelta(minutes=10)]
    assert [job.status for job in past] == [JobStatus.SUCCEEDED] * 10
    assert len({job.scheduled_for for job in past}) == 10


def test_a_job_never_starts_before_its_slot(stage: Stage) -> None:
    stage.task()
    stage.minutes(5)
    started = [job for job in stage.jobs() if job.started_at]
    assert started
    assert all(job.started_at >= job.scheduled_for for job in started)


def test_saving_an_enabled_now_task_starts_it_at_once(stage: Stage) -> None:
    stage.task(schedule={"type": "now"})
    stage.deliver()
    [job] = stage.jobs()
    assert (job.status, job.scheduled_for) == (JobStatus.SUCCEEDED, stage.now)
    stage.minutes(3)
    assert len(stage.jobs()) == 1


def test_a_disabled_now_task_starts_when_it_is_enabled(stage: Stage) -> None:
    task = stage.task(schedule={"type": "now"}, enabled=False)
    stage.minutes(1)
    assert stage.jobs() == []
    task_editing.enable(task.task_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    assert [job.status for job in stage.jobs()] == [JobStatus.SUCCEEDED]


def test_editing_a_now_task_does_not_start_it_again(stage: Stage) -> None:
    task = stage.task(schedule={"type": "now"})
    stage.minutes(1)
    task_editing.patch(task.task_id, {"description": "new"}, revision=None, actor=OPERATOR, now=stage.now)
    stage.minutes(2)
    assert len(stage.jobs()) == 1


def test_a_once_task_has_no_slot_after_its_one(stage: Stage) -> None:
    task = stage.task(schedule={"type": "once", "at": "2026-03-02T09:01:15", "timezone": "UTC"})
    stage.minutes(4)
    [job] = stage.jobs()
    assert (job.status, job.started_at) == (JobStatus.SUCCEEDED, at("2026-03-02T09:01:15"))
    assert task_store.get(task.task_id).next_fire_at is None


def test_two_ticks_at_once_make_one_job_per_slot(stage: Stage) -> None:
    for _ in range(5):
        stage.task(schedule={"type": "cron", "expression": "30 9 * * *"})
    stage.world.now = at("2026-03-02T09:29:00")
    tick.tick(now=stage.now)
    tick.tick(now=stage.now)
    assert slots(stage) == ["09:30:00"] * 5


def test_missed_slots_are_recorded_and_the_latest_runs(stage: Stage) -> None:
    stage.task(overlap="allow_all")
    stage.deliver()
    stage.world.forward(minutes=10, seconds=20)
    stage.tick()
    stage.deliver()
    found = [(job.scheduled_for.minute, job.status, job.reason) for job in stage.jobs()]
    # 09:01 was planned when the task was saved; 09:09 is the latest whose grace of 60 s has passed; 09:10 is on time.
    assert found[:10] == [
        (1, JobStatus.SUCCEEDED, None),
        *[(minute, JobStatus.MISSED, Reason.MISFIRE) for minute in range(2, 9)],
        (9, JobStatus.SUCCEEDED, None),
        (10, JobStatus.SUCCEEDED, None),
    ]


def test_a_long_outage_is_caught_up_a_bounded_number_of_slots_per_tick(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick, "SLOTS_PER_TASK", 20)
    stage.task(misfire={"policy": "skip"})
    stage.world.forward(minutes=45)
    stage.tick()
    assert len(stage.jobs()) <= 20 + 1
    stage.tick()
    stage.tick()
    assert len({job.scheduled_for for job in stage.jobs()}) == len(stage.jobs()) >= 45


def test_a_union_window_covers_all_missed_slots(stage: Stage) -> None:
    stage.task(
        schedule={"type": "cron", "expression": "0 * * * *"},
        window={"type": "last_hour"},
        misfire={"policy": "fire_once", "union": True},
    )
    stage.world.now = at("2026-03-02T14:05:00")
    stage.tick()
    ran = stage.jobs()[-1]
    assert (ran.window_start, ran.window_end) == (at("2026-03-02T09:00:00"), at("2026-03-02T14:00:00"))


def test_an_empty_window_is_a_skipped_job(stage: Stage) -> None:
    stage.task(schedule={"type": "cron", "expression": "0 0 * * *"}, window={"type": "month_to_date"})
    stage.world.now = at("2026-03-31T23:59:30")
    stage.minutes(2)
    job = stage.jobs()[-1]
    assert (job.scheduled_for, job.status, job.reason) == (
        at("2026-04-01T00:00:00"),
        JobStatus.SKIPPED,
        Reason.EMPTY_WINDOW,
    )


def test_a_day_off_is_a_skipped_job(stage: Stage) -> None:
    stage.task(schedule={"type": "cron", "expression": "0 10 * * *", "on_non_business": "skip"})
    for _ in range(7):
        stage.world.now = stage.now.replace(hour=9, minute=59)
        stage.minutes(2)
        stage.world.forward(days=1)
    by_status = {job.scheduled_for.strftime("%a"): (job.status, job.reason) for job in stage.jobs()}
    assert by_status["Sat"] == (JobStatus.SKIPPED, Reason.NON_BUSINESS_DAY)
    assert by_status["Fri"] == (JobStatus.SUCCEEDED, None)


def test_consecutive_windows_since_the_previous_fire_tile(stage: Stage) -> None:
    task = stage.task(window={"type": "since_previous_fire"})
    stage.minutes(5)
    windows = [(job.window_start, job.window_end) for job in stage.jobs()]
    assert windows[0][0] == task.created_at
    assert all(before[1] == after[0] for before, after in pairwise(windows))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("disable", JobStatus.CANCELED),
        ("delete", JobStatus.CANCELED),
        ("other schedule", JobStatus.CANCELED),
        # The slot stays in the schedule: it is planned again, with the new definition.
        ("other description", JobStatus.SUCCEEDED),
    ],
)
def test_an_edit_cancels_the_jobs_that_are_planned_and_not_yet_due(
    stage: Stage, change: str, status: JobStatus
) -> None:
    task = stage.task(schedule={"type": "cron", "expression": "1 9 * * *"})
    assert [job.status for job in stage.jobs()] == [JobStatus.WAITING]
    stage.world.forward(seconds=20)
    arguments = {"actor": OPERATOR, "now": stage.now}
    if change == "disable":
        task_editing.disable(task.task_id, **arguments)
    elif change == "delete":
        task_editing.delete(task.task_id, **arguments)
    else:
        new = (
            {"schedule": {"type": "cron", "expression": "7 9 * * *"}} if "schedule" in change else {"description": "x"}
        )
        task_editing.patch(task.task_id, new, revision=1, **arguments)
    stage.minutes(3)
    first = stage.jobs()[0]
    assert (first.scheduled_for, first.status) == (at("2026-03-02T09:01:00"), status)
    assert first.status == JobStatus.SUCCEEDED or first.reason == Reason.BY_POLICY
    assert len(stage.probe.runs) == (1 if status == JobStatus.SUCCEEDED else 0)


def test_a_task_disabled_and_enabled_again_before_its_slot_still_runs_it(stage: Stage) -> None:
    task = stage.task(schedule={"type": "cron", "expression": "1 9 * * *"})
    for switch in (task_editing.disable, task_editing.enable):
        stage.world.forward(seconds=10)
        switch(task.task_id, actor=OPERATOR, now=stage.now)
    stage.minutes(2)
    [job] = stage.jobs()
    assert job.status == JobStatus.SUCCEEDED


def test_time_spent_disabled_is_no_misfire(stage: Stage) -> None:
    task = stage.task()
    stage.minutes(2)
    task_editing.disable(task.task_id, actor=OPERATOR, now=stage.now)
    stage.world.forward(minutes=30)
    task_editing.enable(task.task_id, actor=OPERATOR, now=stage.now)
    stage.minutes(2)
    assert not [job for job in stage.jobs() if job.status == JobStatus.MISSED]


def test_a_slot_due_before_an_edit_is_recorded_as_it_was_defined_then(stage: Stage) -> None:
    task = stage.task(parameters={"colour": "red"})
    stage.world.forward(minutes=3, seconds=5)
    task_editing.patch(task.task_id, {"parameters": {"colour": "blue"}}, revision=None, actor=OPERATOR, now=stage.now)
    old = [job for job in stage.jobs() if job.scheduled_for <= stage.now]
    assert [job.scheduled_for.minute for job in old] == [1, 2, 3]
    assert {job.parameters["colour"] for job in old} == {"red"}


def test_a_start_by_hand_is_a_job_of_its_own(stage: Stage) -> None:
    task = stage.task(schedule={"type": "cron", "expression": "0 3 * * *"}, window={"type": "yesterday"})
    job = starts.run(task.task_id, scheduled_for=at("2013-06-15T06:00:00"), actor=OPERATOR, now=stage.now)
    stage.deliver()
    [done] = stage.jobs()
    assert (done.job_id, done.status, done.trigger, done.operator) == (
        job.job_id, JobStatus.SUCCEEDED, Trigger.MANUAL, OPERATOR.name,
    )  # fmt: skip
    assert (done.window_start, done.window_end) == (at("2013-06-14T00:00:00"), at("2013-06-15T00:00:00"))


def test_a_start_by_hand_repeated_under_its_key_is_one_job(stage: Stage) -> None:
    task = stage.task(enabled=False)
    ids = {starts.run(task.task_id, actor=OPERATOR, now=stage.now, key="abc").job_id for _ in range(3)}
    assert len(ids) == len(stage.jobs()) == 1


def test_jitter_delays_the_start_and_not_the_window(stage: Stage) -> None:
    stage.task(
        schedule={"type": "cron", "expression": "0 10 * * *", "jitter_seconds": 600}, window={"type": "last_hour"}
    )
    stage.world.now = at("2026-03-02T09:59:00")
    stage.minutes(15)
    [job] = stage.jobs()
    assert job.status == JobStatus.SUCCEEDED
    assert timedelta(0) <= job.started_at - job.scheduled_for < timedelta(seconds=600)
    assert job.window_end == at("2026-03-02T10:00:00")


def test_a_task_that_cannot_be_planned_does_not_keep_the_others_from_firing(stage: Stage) -> None:
    from chalicelib.errors import FiringIncomplete

    broken, sound = (stage.task(schedule={"type": "cron", "expression": "30 9 * * *"}) for _ in range(2))
    record = task_store.get(broken.task_id)
    record.schedule = {"type": "cron", "expression": "no cron", "timezone": "UTC"}
    record.save()
    stage.world.now = at("2026-03-02T09:29:30")
    with pytest.raises(FiringIncomplete, match="1 of 2"):
        stage.tick()
    assert [job.task_id for job in stage.jobs()] == [sound.task_id]


def test_a_slot_that_is_not_run_shows_as_the_latest_status(stage: Stage) -> None:
    task = stage.task(misfire="skip", schedule={"type": "cron", "expression": "30 9 * * *"})
    stage.world.now = at("2026-03-02T09:40:00")
    stage.tick()
    assert task_store.get(task.task_id).latest_status == JobStatus.MISSED


def test_the_next_execution_is_a_slot_planned_ahead(stage: Stage) -> None:
    from chalicelib.scheduling import slots as scheduling_slots

    task = stage.task(schedule={"type": "once", "at": "2026-03-02T09:01:00", "timezone": "UTC"})
    assert task.next_fire_at is None, "it is planned already"
    assert scheduling_slots.next_execution(task, now=stage.now) == at("2026-03-02T09:01:00")
    assert scheduling_slots.next_execution(task, now=at("2026-03-02T09:01:00")) is None


def test_an_edit_that_removes_the_end_of_the_range_is_an_edit(stage: Stage) -> None:
    schedule = {"type": "interval", "every": 5, "unit": "minute", "timezone": "UTC"}
    task = stage.task(schedule=schedule | {"end": "2026-03-02T09:10:00"})
    stage.world.forward(minutes=2)
    same = task_editing.patch(task.task_id, {"schedule": task.schedule}, revision=None, actor=OPERATOR, now=stage.now)
    assert same.schedule == task.schedule
    edited = task_editing.patch(task.task_id, {"schedule": schedule}, revision=None, actor=OPERATOR, now=stage.now)
    assert "end" not in edited.schedule
    assert edited.schedule["anchor"] == task.schedule["anchor"], "its fires keep their phase"


def test_a_slot_that_has_come_runs_although_its_task_is_deleted_before_its_token_arrives(stage: Stage) -> None:
    task = stage.task(schedule={"type": "cron", "expression": "1 9 * * *"})
    stage.world.forward(seconds=63)
    task_editing.delete(task.task_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    assert [job.status for job in stage.jobs()] == [JobStatus.SUCCEEDED]


def test_a_short_outage_loses_no_window(stage: Stage) -> None:
    """A late run does not make the slots that come meanwhile overlap with it."""
    stage.task(window={"type": "since_previous_fire"})
    stage.minutes(2)
    stage.deliver()

    def meets_the_next(context: RunContext) -> Outcome:
        """The token of the slot after the late one arrives while the late one runs."""
        PROBE.behaviour = lambda _: Outcome()
        stage.deliver()
        return Outcome()

    PROBE.behaviour = meets_the_next
    stage.world.forward(seconds=130)
    stage.minutes(4)
    done = [job for job in stage.jobs() if job.scheduled_for <= stage.now - timedelta(minutes=1)]
    assert {job.status for job in done} == {JobStatus.SUCCEEDED}
    assert all(before.window_end == after.window_start for before, after in pairwise(done))
    [late] = [job for job in done if job.late]
    following = done[done.index(late) + 1]
    assert following.started_at >= late.ended_at
