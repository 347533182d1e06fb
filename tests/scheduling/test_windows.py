"""Windows where rules meet: the misfire policy, days off, empty windows, the overlap policy, starts by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus, Reason
from chalicelib.core.schedules.preview import preview_fires
from chalicelib.jobs import actions
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.scheduling.calendars import calendar_of
from chalicelib.store.catalogue import CalendarRecord
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import editing, starts
from tests.support.simulator import OPERATOR, PROBE, Stage

SINCE = {"type": "since_previous_fire"}
NINE = {"type": "cron", "expression": "0 9 * * *"}
WORKING_DAYS = {**NINE, "on_non_business": "skip"}


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-{text}").replace(tzinfo=UTC)


def days(stage: Stage) -> list[tuple[str, str]]:
    return [(f"{job.scheduled_for:%d %a}", job.reason or job.status) for job in stage.jobs()]


def every_day(stage: Stage, first: str, count: int) -> None:
    """Let a tick come around nine on each of these days."""
    for day in range(count):
        stage.world.now = at(f"{first} 08:59:00") + timedelta(days=day)
        stage.minutes(2)


def outage(stage: Stage, until: str) -> None:
    """The first tick after an outage, and what follows from it."""
    stage.world.now = at(until)
    stage.minutes(2)


def off_on(stage: Stage, day: str) -> None:
    """A calendar `holidays`."""
    about: dict[str, Any] = {"creator": "olga", "created_at": stage.now, "updated_at": stage.now}
    CalendarRecord("holidays", name="holidays", days={day: "off"}, **about).save()


# --- the misfire policy and slots that would not have run -------------------------------------------------------------


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("fire_once", ["misfire", "misfire", "succeeded", "non_business_day", "non_business_day"]),
        ("skip", ["misfire", "misfire", "misfire", "non_business_day", "non_business_day"]),
        (
            {"policy": "catch_up", "max_catchup": 2, "catchup_window_seconds": 30 * 86_400},
            ["misfire", "succeeded", "succeeded", "non_business_day", "non_business_day"],
        ),
        ({"union": True}, ["misfire", "misfire", "succeeded", "non_business_day", "non_business_day"]),
    ],
)
@pytest.mark.parametrize("window", [None, SINCE, {"type": "yesterday"}])
def test_the_misfire_policy_chooses_among_the_slots_that_would_have_run(
    stage: Stage, misfire: Any, expected: list[str], window: Any
) -> None:
    """An outage from Tuesday night to Sunday noon: Friday runs late, not the days off after it."""
    stage.task(schedule=WORKING_DAYS, misfire=misfire, window=window, overlap="allow_all")
    every_day(stage, "03", 1)
    outage(stage, "08 12:00:00")
    assert [reason for _, reason in days(stage)[-5:]] == expected
    union = isinstance(misfire, dict) and "union" in misfire
    if union and window == SINCE:
        [friday] = [job for job in stage.jobs() if job.scheduled_for == at("06 09:00:00")]
        assert friday.window_start == at("03 09:00:00")


def test_a_holiday_of_a_calendar_is_no_slot_that_would_have_run(stage: Stage) -> None:
    off_on(stage, "2026-03-06")
    stage.task(schedule={**WORKING_DAYS, "calendar": "holidays"}, window=SINCE)
    every_day(stage, "03", 1)
    outage(stage, "08 12:00:00")
    every_day(stage, "09", 1)
    assert days(stage)[-6:] == [
        ("04 Wed", "misfire"), ("05 Thu", "succeeded"), ("06 Fri", "non_business_day"),
        ("07 Sat", "non_business_day"), ("08 Sun", "non_business_day"), ("09 Mon", "succeeded"),
    ]  # fmt: skip
    assert stage.jobs()[-1].window_start == at("05 09:00:00")


@pytest.mark.parametrize("union", [False, True])
def test_a_slot_whose_window_is_empty_is_not_chosen_unless_it_takes_over_missed_ones(stage: Stage, union: bool) -> None:
    """Month to date is empty on the first of a month."""
    stage.world.now = at("29 08:00:00")
    stage.task(schedule=NINE, window={"type": "month_to_date"}, misfire={"union": union})
    stage.world.now = datetime(2026, 4, 1, 12, tzinfo=UTC)
    stage.minutes(2)
    *_, last_of_march, first_of_april = stage.jobs()
    if union:
        assert (last_of_march.reason, first_of_april.status) == (Reason.MISFIRE, JobStatus.SUCCEEDED)
        assert first_of_april.window_start == at("01 00:00:00")
        assert first_of_april.window_end == datetime(2026, 4, 1, tzinfo=UTC)
    else:
        assert (last_of_march.status, first_of_april.reason) == (JobStatus.SUCCEEDED, Reason.EMPTY_WINDOW)


def test_the_union_of_empty_windows_is_empty(stage: Stage) -> None:
    stage.world.now = at("31 12:00:00")
    schedule = {"type": "cron", "expression": "0 */2 * * *"}
    stage.task(schedule=schedule, window={"type": "month_to_date"}, misfire={"union": True})
    stage.world.now = datetime(2026, 4, 1, 0, 0, 30, tzinfo=UTC)
    stage.minutes(1)
    stage.world.now = datetime(2026, 4, 1, 11, tzinfo=UTC)
    stage.tick()
    of_april = [job for job in stage.jobs() if job.scheduled_for > datetime(2026, 4, 1, 1, tzinfo=UTC)]
    assert {job.reason for job in of_april} == {Reason.EMPTY_WINDOW}
    assert len(of_april) == 5


def test_a_day_off_between_missed_slots_does_not_end_their_union(stage: Stage) -> None:
    stage.task(schedule=WORKING_DAYS, window=SINCE, misfire={"union": True})
    every_day(stage, "05", 1)
    outage(stage, "11 12:00:00")
    *_, wednesday = stage.jobs()
    assert [reason for _, reason in days(stage)[-5:]] == [
        "non_business_day", "non_business_day", "misfire", "misfire", "succeeded",
    ]  # fmt: skip
    assert wednesday.window_start == at("05 09:00:00")


# --- where a window since the previous fire begins --------------------------------------------------------------------


def test_a_window_begins_at_the_last_slot_that_ran_or_was_to_run(stage: Stage) -> None:
    task = stage.task(schedule=WORKING_DAYS, window=SINCE)
    every_day(stage, "05", 5)
    monday = stage.jobs()[-1]
    assert (monday.window_start, monday.window_end) == (at("06 09:00:00"), at("09 09:00:00"))
    [shown] = preview_fires(task.schedule, after=at("08 12:00:00"), count=1, window=SINCE)
    assert (shown.window_start, shown.window_end) == (monday.window_start, monday.window_end)


def test_the_first_window_begins_at_the_start_of_the_schedule(stage: Stage) -> None:
    task = stage.task(schedule={**NINE, "start": "2026-03-03T06:00:00Z"}, window=SINCE)
    stage.world.now = at("03 07:00:00")
    assert run(task, stage) == (at("03 06:00:00"), at("03 07:00:00"))
    every_day(stage, "03", 2)
    assert [(job.window_start, job.window_end) for job in stage.jobs() if job.operator is None] == [
        (at("03 06:00:00"), at("03 09:00:00")),
        (at("03 09:00:00"), at("04 09:00:00")),
    ]
    [shown, _] = preview_fires(task.schedule, after=at("02 12:00:00"), count=2, window=SINCE)
    assert (shown.window_start, shown.window_end) == (at("03 06:00:00"), at("03 09:00:00"))


def test_a_start_by_hand_begins_where_a_slot_at_that_time_would(stage: Stage) -> None:
    task = stage.task(schedule=WORKING_DAYS, window=SINCE)
    stage.world.forward(minutes=10)
    before_the_first = run(task, stage)
    every_day(stage, "02", 7)
    stage.world.now = at("08 12:00:00")
    on_sunday = run(task, stage)
    of_tuesday = run(task, stage, at("03 09:00:00"))
    of_a_time_between = run(task, stage, at("04 07:00:00"))
    of_the_first_week = run(task, stage, at("02 09:00:30"))
    long_before = run(task, stage, datetime(2013, 6, 17, 9, tzinfo=UTC))
    assert before_the_first == (task.created_at, task.created_at + timedelta(minutes=10))
    assert on_sunday == (at("06 09:00:00"), at("08 12:00:00"))
    assert of_tuesday == (task.created_at, at("03 09:00:00"))
    assert of_a_time_between == (at("03 09:00:00"), at("04 07:00:00"))
    assert of_the_first_week == (task.created_at, at("02 09:00:30"))
    assert long_before == (datetime(2013, 6, 14, 9, tzinfo=UTC), datetime(2013, 6, 17, 9, tzinfo=UTC))


def test_a_start_by_hand_before_a_slot_planned_ahead_leaves_that_out(stage: Stage) -> None:
    task = stage.task(schedule=WORKING_DAYS, window=SINCE)
    every_day(stage, "03", 1)
    stage.world.now = at("04 08:59:00")
    stage.tick()
    assert run(task, stage) == (at("03 09:00:00"), at("04 08:59:00"))
    editing.disable(task.task_id, actor=OPERATOR, now=stage.now)
    stage.world.now = at("05 12:00:00")
    editing.enable(task.task_id, actor=OPERATOR, now=stage.now)
    stage.world.now = at("06 08:59:00")
    stage.tick()
    assert run(task, stage) == (at("03 09:00:00"), at("06 08:59:00")), "nothing ran while the task was disabled"


def test_a_start_by_hand_knows_the_holidays_of_its_calendar(stage: Stage) -> None:
    off_on(stage, "2026-02-26")
    task = stage.task(schedule={**WORKING_DAYS, "calendar": "holidays"}, window=SINCE)
    of_friday = datetime(2026, 2, 27, 9, tzinfo=UTC)
    assert run(task, stage, of_friday) == (of_friday - timedelta(days=2), of_friday)
    days = calendar_of(task.schedule)
    [shown] = preview_fires(task.schedule, after=of_friday - timedelta(seconds=1), count=1, window=SINCE, calendar=days)
    assert (shown.window_start, shown.window_end) == (of_friday - timedelta(days=2), of_friday)


def test_a_start_by_hand_of_the_last_slot_whose_job_was_deleted_has_its_window(stage: Stage) -> None:
    task = stage.task(schedule=WORKING_DAYS, window=SINCE)
    every_day(stage, "03", 3)
    stage.world.forward(hours=1)
    actions.delete(stage.jobs()[-1].job_id, actor=OPERATOR, now=stage.now)
    assert run(task, stage, at("05 09:00:00")) == (at("04 09:00:00"), at("05 09:00:00"))


def test_a_start_by_hand_of_a_task_that_was_disabled_begins_at_its_last_slot(stage: Stage) -> None:
    task = stage.task(schedule=WORKING_DAYS, window=SINCE)
    every_day(stage, "03", 1)
    editing.disable(task.task_id, actor=OPERATOR, now=stage.now)
    stage.world.now = at("06 12:00:00")
    assert run(task, stage) == (at("03 09:00:00"), at("06 12:00:00"))
    editing.enable(task.task_id, actor=OPERATOR, now=stage.now)
    every_day(stage, "07", 3)
    assert stage.jobs()[-1].window_start == at("03 09:00:00"), "a start by hand is no slot"
    assert run(task, stage, at("09 09:00:00")) == (at("03 09:00:00"), at("09 09:00:00")), "as the slot's job has it"


def test_a_window_of_new_zone_data_begins_where_the_task_was_made(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next slot was computed by older zone data; the task was edited since it was made, and has not fired."""
    task = stage.task(schedule={**NINE, "timezone": "Europe/Paris"}, window=SINCE)
    stage.world.forward(minutes=30)
    editing.patch(task.task_id, {"description": "x"}, revision=None, actor=OPERATOR, now=stage.now)
    record = TaskRecord.get(task.task_id)
    record.tzdata_version, record.next_fire_at = "1990a", record.next_fire_at + timedelta(hours=1)
    record.save()
    every_day(stage, "03", 1)
    stage.world.now = at("03 09:00:00")
    stage.minutes(1)
    assert stage.jobs()[0].window_start == task.created_at


def run(task: TaskRecord, stage: Stage, scheduled_for: datetime | None = None) -> tuple[datetime, datetime]:
    job = starts.run(task.task_id, scheduled_for=scheduled_for, actor=OPERATOR, now=stage.now)
    return job.window_start, job.window_end


def test_a_slot_covers_the_days_before_the_date_that_its_schedule_wrote(stage: Stage) -> None:
    """23:30 of the 28th is skipped by the clocks of Nuuk: the slot comes at midnight."""
    stage.world.now = at("28 12:00:00")
    stage.task(schedule={**NINE, "expression": "30 23 * * *", "timezone": "America/Nuuk"}, window={"type": "yesterday"})
    stage.world.now = at("29 00:59:30")
    stage.minutes(1)
    [job] = stage.jobs()
    assert (job.scheduled_for, job.window_start) == (at("29 01:00:00"), at("27 02:00:00"))


# --- the overlap policy -----------------------------------------------------------------------------------------------


def run_for(stage: Stage, minutes: int) -> None:
    """Let the first of the jobs that are due run so long, while ticks go on and later tokens arrive."""

    def takes_long(context: RunContext) -> Outcome:
        PROBE.behaviour = lambda _: Outcome()
        for _ in range(4 * minutes - 1):
            stage.tick()
            stage.world.forward(seconds=15)
            stage.deliver()
            context.check_for_stop()
            context.check()
        return Outcome()

    PROBE.behaviour = takes_long
    stage.deliver()


def outcomes(stage: Stage) -> dict[int, str]:
    """What became of the slots up to now, by their minute."""
    return {job.scheduled_for.minute: job.reason or job.status for job in stage.jobs() if job.scheduled_for < stage.now}


def assert_runs_tile(stage: Stage) -> None:
    ran = [job for job in stage.jobs() if job.status == JobStatus.SUCCEEDED]
    assert all(before.window_end == after.window_start for before, after in pairwise(ran))


def test_the_next_run_takes_over_the_windows_that_overlap_skipped(stage: Stage) -> None:
    """Each minute, and one run that takes three of them."""
    stage.task(window=SINCE)
    stage.world.forward(minutes=1)
    run_for(stage, 4)
    stage.minutes(2)
    assert outcomes(stage) == {1: "succeeded", 2: "overlap", 3: "overlap", 4: "overlap", 5: "succeeded", 6: "succeeded"}
    assert_runs_tile(stage)
    skipped = [job for job in stage.jobs() if job.reason == Reason.OVERLAP]
    assert [job.window_start.minute for job in skipped] == [1, 1, 1], "the way back stays short"


@pytest.mark.parametrize("policy", ["catch_up", "fire_once"])
def test_slots_skipped_after_a_late_start_leave_no_gap(stage: Stage, policy: str) -> None:
    stage.task(window=SINCE, misfire=policy)
    stage.minutes(2)
    stage.world.forward(minutes=6)
    stage.tick()
    run_for(stage, 3)
    stage.minutes(4)
    done = outcomes(stage)
    assert "overlap" in done.values()
    missed = [job for job in stage.jobs() if job.status == JobStatus.MISSED]
    assert bool(missed) is (policy == "fire_once")
    told = [job for job in stage.jobs() if job.status in (JobStatus.SUCCEEDED, JobStatus.MISSED)]
    assert all(before.window_end == after.window_start for before, after in pairwise(told))


def test_a_job_that_a_later_one_cancels_leaves_it_its_window(stage: Stage) -> None:
    task = stage.task(window=SINCE, overlap="cancel_other", schedule={"type": "cron", "expression": "1,3 9 * * *"})
    stage.world.forward(minutes=1)
    run_for(stage, 3)
    stage.minutes(2)
    cancelled, ran = stage.jobs()
    assert cancelled.reason == Reason.BY_POLICY
    assert (ran.status, ran.window_start, ran.window_end) == (JobStatus.SUCCEEDED, task.created_at, at("02 09:03:00"))


def test_a_job_that_a_person_cancels_names_its_gap(stage: Stage) -> None:
    stage.task(window=SINCE)
    [job] = stage.jobs()
    actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)
    stage.minutes(3)
    cancelled, following, *_ = stage.jobs()
    assert (cancelled.reason, cancelled.window_end) == (Reason.BY_USER, following.window_start)


def test_other_windows_stay_as_the_slot_has_them(stage: Stage) -> None:
    stage.task(window={"type": "last_minute"})
    stage.world.forward(minutes=1)
    run_for(stage, 3)
    stage.minutes(2)
    assert Reason.OVERLAP in {job.reason for job in stage.jobs()}
    assert {job.window_end - job.window_start for job in stage.jobs()} == {timedelta(minutes=1)}
