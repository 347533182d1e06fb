from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.ids import job_id_of_slot, month_bucket, ulid
from chalicelib.core.lifecycle import JobStatus, Reason, RunStatus, Trigger
from chalicelib.core.log_lines import LogLine
from chalicelib.core.rank import rank
from chalicelib.errors import StaleRevision, TaskNotFound
from chalicelib.store import idempotency, job_lists, job_transitions, job_updates, jobs, logs, runs, tasks
from chalicelib.store.job_list_plan import JobFilter
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.store.task_record import TaskRecord
from tests.support.world import START, World

NOW = START


def a_job(**changes: Any) -> JobRecord:
    at = changes.pop("at", NOW)
    job_id = changes.pop("job_id", None) or ulid(at)
    values: dict[str, Any] = {
        "month": month_bucket(job_id), "task_id": "task-1", "task_name": "Daily", "task_revision": 1, "kind": "probe",
        "creator": "olga", "spec": {"deep": [1, 2.5, None]}, "scheduled_for": at, "created_at": at,
        "trigger": Trigger.SCHEDULE, "overlap": "skip", "retry": {}, "status": JobStatus.WAITING, "pool": "cloud",
        "priority": 1000, "enqueued_at": at, "not_before": at, "lease_shard": 0,
        "lease_until": at + timedelta(seconds=60), "active_task": "task-1",
    }  # fmt: skip
    values |= changes
    return JobRecord(job_id, rank=rank(at, int(values["priority"])), **values)


def saved(**changes: Any) -> JobRecord:
    job = a_job(**changes)
    assert jobs.insert(job)
    return job


def claimed(**changes: Any) -> JobRecord:
    job = saved(**changes)
    assert job_transitions.claim(job, worker="w", fence="f1", lease_until=NOW + timedelta(minutes=15), now=NOW)
    return job


def run_of(job: JobRecord, **columns: Any) -> RunRecord:
    return RunRecord(job.job_id, job.run_no, **columns)


def a_task(**changes: Any) -> TaskRecord:
    values: dict[str, Any] = {
        "name": "Daily", "kind": "probe", "creator": "olga", "spec": {}, "overlap": "skip", "retry": {},
        "misfire": "fire_once", "schedule": {"type": "cron", "expression": "0 2 * * *", "timezone": "UTC"},
        "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return TaskRecord(changes.pop("task_id", "task-1"), **(values | changes))


def at_once(backend: World) -> ThreadPoolExecutor:
    """Callers at the same time; one by one on moto, which judges conditions without a lock."""
    return ThreadPoolExecutor(1 if backend.in_process else 8)


def test_a_job_comes_back_as_it_was_put(backend: World) -> None:
    job = saved(window_start=NOW, window_end=NOW + timedelta(hours=1), parameters={"ä": "報", "n": 1e-9})
    found = jobs.get(job.job_id)
    assert found.attribute_values == job.attribute_values


def test_a_slot_has_one_job(backend: World) -> None:
    job_id = job_id_of_slot("task-1", NOW)
    with at_once(backend) as pool:
        put = list(pool.map(lambda n: jobs.insert(a_job(job_id=job_id, worker=str(n))), range(16)))
    assert put.count(True) == 1


def test_a_waiting_job_is_claimed_by_one_worker(backend: World) -> None:
    job = saved()

    def claim(number: int) -> bool:
        mine = jobs.get(job.job_id)
        return job_transitions.claim(mine, worker=str(number), fence=str(number), lease_until=NOW, now=NOW)

    with at_once(backend) as pool:
        won = list(pool.map(claim, range(16)))
    assert won.count(True) == 1
    after = jobs.get(job.job_id)
    assert (after.status, after.run_no, after.worker) == (JobStatus.RUNNING, 1, str(won.index(True)))


def test_a_job_is_not_claimed_before_its_time(backend: World) -> None:
    job = saved(not_before=NOW + timedelta(seconds=1))
    assert not job_transitions.claim(job, worker="w", fence="f", lease_until=NOW, now=NOW)


def test_a_worker_without_the_fence_changes_nothing(backend: World) -> None:
    job = claimed()
    stale = jobs.get(job.job_id)
    assert job_transitions.wait_again(job, not_before=NOW, lease_until=NOW, error="x")
    again = jobs.get(job.job_id)
    assert job_transitions.claim(again, worker="other", fence="f2", lease_until=NOW, now=NOW)
    assert not job_transitions.end_with_run(stale, JobStatus.SUCCEEDED, run_of(stale), reason=None, error=None, now=NOW)
    assert not job_transitions.wait_again(stale, not_before=NOW, lease_until=NOW, error=None)
    assert not job_updates.request_cancel(stale, by="olga", now=NOW)
    assert jobs.get(job.job_id).status == JobStatus.RUNNING


def test_an_ended_job_stays_ended(backend: World) -> None:
    job = claimed()
    run = run_of(job, rows=5, files=[{"key": "k"}])
    assert job_transitions.end_with_run(job, JobStatus.SUCCEEDED, run, reason=None, error=None, now=NOW)
    for attempt in (
        lambda: job_transitions.end_with_run(job, JobStatus.FAILED, run, reason=Reason.ERROR, error="x", now=NOW),
        lambda: job_transitions.end_without_run(job, JobStatus.CANCELED, reason=Reason.BY_USER, error="x", now=NOW),
        lambda: job_transitions.claim(job, worker="w", fence="f", lease_until=NOW, now=NOW),
        lambda: job_updates.set_priority(job, 5),
        lambda: job_updates.make_ready(job),
    ):
        assert not attempt()
    found = jobs.get(job.job_id)
    assert (found.status, found.rows, found.files) == (JobStatus.SUCCEEDED, 5, [{"key": "k"}])
    assert found.lease_until is None
    assert found.expires_at is not None


def test_the_line_is_in_the_order_of_rank(backend: World) -> None:
    draw = random.Random(7)
    made = [saved(priority=draw.randrange(5001), at=NOW + timedelta(seconds=n)) for n in range(30)]
    for job in made:
        assert job_updates.make_ready(job)
    ranked = [job.job_id for job in sorted(made, key=lambda job: job.rank)]
    assert jobs.first_ready_ids("cloud", 30) == ranked
    assert jobs.first_ready_ids("cloud", 5) == ranked[:5]
    assert jobs.first_ready_ids("robots", 5) == []


def test_a_changed_priority_moves_the_job(backend: World) -> None:
    first, second = saved(at=NOW), saved(at=NOW + timedelta(seconds=1))
    for job in (first, second):
        job_updates.make_ready(job)
    assert job_updates.set_priority(second, 5000)
    assert jobs.first_ready_ids("cloud", 2) == [second.job_id, first.job_id]


def test_a_claimed_job_has_left_the_line(backend: World) -> None:
    job = saved()
    job_updates.make_ready(job)
    assert job_transitions.claim(job, worker="w", fence="f", lease_until=NOW, now=NOW)
    assert jobs.first_ready_ids("cloud", 5) == []


def test_leases_that_ran_out_are_found_longest_first(backend: World) -> None:
    late = [saved(lease_until=NOW - timedelta(seconds=n)).job_id for n in (1, 30, 10)]
    saved(lease_until=NOW + timedelta(seconds=1))
    assert list(jobs.lapsed_ids(0, now=NOW)) == [late[1], late[2], late[0]]


def test_the_open_jobs_of_a_task_are_known_oldest_first(backend: World) -> None:
    made = [saved(at=NOW + timedelta(minutes=n)) for n in range(4)]
    saved(task_id="other", active_task="other")
    job_transitions.end_without_run(made[1], JobStatus.SKIPPED, reason=Reason.OVERLAP, error=None, now=NOW)
    ids = [made[n].job_id for n in (0, 2, 3)]
    assert jobs.open_ids_of_task("task-1") == ids
    assert jobs.open_ids_of_task("task-1", before=made[3].job_id) == ids[:2]


def test_only_an_edited_task_plans_a_slot_again(backend: World) -> None:
    job_id = job_id_of_slot("task-1", NOW)
    saved(job_id=job_id)
    assert not jobs.replan(a_job(job_id=job_id, task_revision=1))
    assert jobs.replan(a_job(job_id=job_id, task_revision=2, task_name="New"))
    job = jobs.get(job_id)
    assert (job.task_name, job.task_revision) == ("New", 2)
    assert job_transitions.end_without_run(job, JobStatus.CANCELED, reason=Reason.BY_POLICY, error=None, now=NOW)
    assert jobs.replan(a_job(job_id=job_id, task_revision=3))
    job = jobs.get(job_id)
    assert job.ended_at is None
    assert job_transitions.end_without_run(job, JobStatus.CANCELED, reason=Reason.BY_USER, error=None, now=NOW)
    assert not jobs.replan(a_job(job_id=job_id, task_revision=4)), "what a person cancelled stays cancelled"


def test_the_first_cancel_request_stands(backend: World) -> None:
    job = claimed()
    assert job_updates.request_cancel(job, by="olga", now=NOW)
    assert job_updates.request_cancel(jobs.get(job.job_id), by="pavel", now=NOW + timedelta(seconds=5))
    found = jobs.get(job.job_id)
    assert (found.cancel_requested_by, found.cancel_requested_at) == ("olga", NOW)
    assert not job_transitions.wait_again(found, not_before=NOW, lease_until=NOW, error=None), (
        "it is not to be tried again"
    )


def test_a_run_is_ended_once(backend: World) -> None:
    assert runs.begin(RunRecord("job", 1, fence="f", created_at=NOW, started_at=NOW))

    def end(status: RunStatus) -> bool:
        return runs.end(RunRecord("job", 1, status=status, fence="f", created_at=NOW, ended_at=NOW))

    with at_once(backend) as pool:
        ended = list(pool.map(end, [RunStatus.SUCCEEDED, RunStatus.FAILED] * 6))
    assert ended.count(True) == 1
    assert not runs.begin(RunRecord("job", 1, fence="f", created_at=NOW, started_at=NOW))


def test_a_run_that_began_begins_again_for_its_own_worker_alone(backend: World) -> None:
    """The answer to the first write may be lost."""
    assert runs.begin(RunRecord("job", 1, fence="f", created_at=NOW, definition={"sql": "SELECT 1"}))
    assert runs.begin(RunRecord("job", 1, fence="f", created_at=NOW))
    assert not runs.begin(RunRecord("job", 1, fence="g", created_at=NOW))
    found = runs.find("job", 1)
    assert found is not None
    assert (found.status, found.fence, found.definition) == (RunStatus.RUNNING, "f", {"sql": "SELECT 1"})


def test_a_run_ended_before_its_record_was_made_stays_ended(backend: World) -> None:
    lost = RunRecord(
        "job", 1, status=RunStatus.FAILED, reason=Reason.WORKER_LOST, fence="f", created_at=NOW, ended_at=NOW
    )
    assert runs.end(lost)
    assert not runs.begin(RunRecord("job", 1, fence="f", created_at=NOW))
    found = runs.find("job", 1)
    assert found is not None
    assert (found.status, found.reason) == (RunStatus.FAILED, Reason.WORKER_LOST)


def test_a_run_of_another_fence_is_not_touched(backend: World) -> None:
    assert runs.begin(RunRecord("job", 1, fence="f", created_at=NOW))
    assert not runs.define("job", 1, {}, fence="g")
    assert not runs.end(RunRecord("job", 1, status=RunStatus.FAILED, fence="g", created_at=NOW, ended_at=NOW))


def test_due_tasks_are_those_with_a_slot_before_the_instant(backend: World) -> None:
    for number, minutes in enumerate((5, -3, 0, None)):
        slot = None if minutes is None else NOW + timedelta(minutes=minutes)
        shard = None if slot is None else 0
        assert tasks.insert(a_task(task_id=f"t{number}", next_fire_at=slot, due_shard=shard))
    assert list(tasks.due_ids(0, before=NOW + timedelta(seconds=1))) == ["t1", "t2"]


def test_a_task_moves_past_a_slot_once(backend: World) -> None:
    tasks.insert(a_task(next_fire_at=NOW, due_shard=0))
    readers = [tasks.get("task-1") for _ in range(8)]

    def advance(task: TaskRecord) -> bool:
        return tasks.advance(
            task, next_fire_at=NOW + timedelta(days=1), previous_fire_at=NOW, missed_since=None, tzdata_version="2026a"
        )

    with at_once(backend) as pool:
        assert list(pool.map(advance, readers)).count(True) == 1
    assert tasks.get("task-1").previous_fire_at == NOW


def test_an_edit_is_not_written_over_a_plan_that_moved_since_it_was_read(backend: World) -> None:
    tasks.insert(a_task(next_fire_at=NOW, due_shard=0))
    read, planned = tasks.get("task-1"), tasks.get("task-1")
    assert tasks.advance(planned, next_fire_at=None, previous_fire_at=NOW, missed_since=None, tzdata_version="2026a")
    read.description = "edited"
    assert not tasks.overwrite(read, expected_revision=1, previous_fire_at=None)
    assert tasks.get("task-1").previous_fire_at == NOW
    assert tasks.overwrite(read, expected_revision=1, previous_fire_at=NOW)


def test_of_two_edits_at_once_one_is_refused(backend: World) -> None:
    tasks.insert(a_task())
    one, two = tasks.get("task-1"), tasks.get("task-1")
    one.description, two.description = "one", "two"
    assert tasks.overwrite(one, expected_revision=1, previous_fire_at=None)
    with pytest.raises(StaleRevision):
        tasks.overwrite(two, expected_revision=1, previous_fire_at=None)
    found = tasks.get("task-1")
    assert (found.description, found.revision) == ("one", 2)
    with pytest.raises(StaleRevision):
        tasks.remove("task-1", expected_revision=1)


def test_an_edit_leaves_what_firing_keeps(backend: World) -> None:
    tasks.insert(a_task(next_fire_at=NOW, due_shard=0))
    editor = tasks.get("task-1")
    tasks.note_latest("task-1", job_id="j1", status=JobStatus.SUCCEEDED, at=NOW)
    assert tasks.overwrite(editor, expected_revision=1, previous_fire_at=None)
    assert tasks.get("task-1").latest_status == JobStatus.SUCCEEDED


def test_the_latest_status_is_that_of_the_latest_job(backend: World) -> None:
    tasks.insert(a_task())
    tasks.note_latest("task-1", job_id="j2", status=JobStatus.SUCCEEDED, at=NOW)
    tasks.note_latest("task-1", job_id="j1", status=JobStatus.FAILED, at=NOW)
    tasks.note_latest("gone", job_id="j1", status=JobStatus.FAILED, at=NOW)
    assert tasks.get("task-1").latest_status == JobStatus.SUCCEEDED
    with pytest.raises(TaskNotFound):
        tasks.get("gone")


def test_log_lines_are_read_from_any_point_and_alerts_apart(backend: World) -> None:
    for first in range(1, 301, 100):
        chunk = [
            LogLine(n, "t", "WARN" if n % 50 == 0 else "INFO", "run", f"line {n}") for n in range(first, first + 100)
        ]
        logs.append("job", 1, chunk, after=first - 1, now=NOW)
    assert [line.sequence for line in logs.read("job", 1)] == list(range(1, 301))
    assert [line.sequence for line in logs.read("job", 1, after=150)] == list(range(151, 301))
    assert [line.sequence for line in logs.read("job", 1, alerts=True, after=100)] == [150, 200, 250, 300]
    assert list(logs.read("job", 2)) == []


def test_the_first_delivery_of_an_event_is_remembered(backend: World) -> None:
    kept = timedelta(hours=24)
    assert idempotency.first_accepted("e", now=NOW, kept=kept) == NOW
    assert idempotency.first_accepted("e", now=NOW + timedelta(hours=1), kept=kept) == NOW


@pytest.mark.slow
@pytest.mark.parametrize("oldest_first", [False, True])
def test_pages_of_jobs_are_what_plain_python_gives(backend: World, oldest_first: bool) -> None:
    draw = random.Random(11)
    made = []
    for _ in range(120):
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=draw.randrange(80 * 24 * 60))
        status = draw.choice([JobStatus.SUCCEEDED, JobStatus.FAILED])
        made.append(saved(at=at, status=status, task_id=draw.choice("ab"), group=draw.choice([None, "ops"])))
    bounds = (datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    for wanted in (
        JobFilter(),
        JobFilter(task_id="a"),
        JobFilter(status=[JobStatus.FAILED]),
        JobFilter(*bounds, group="ops"),
        JobFilter(*bounds, task_id="b", status=[JobStatus.FAILED, JobStatus.SUCCEEDED]),
        JobFilter(group="nobody's"),
    ):
        expected = [
            job.job_id
            for job in sorted(made, key=lambda job: job.job_id, reverse=not oldest_first)
            if (wanted.task_id is None or job.task_id == wanted.task_id)
            and (not wanted.status or job.status in wanted.status)
            and (wanted.group is None or job.group == wanted.group)
            and (wanted.created_from is None or bounds[0] <= job.scheduled_for < bounds[1])
        ]
        seen = []
        for page in range(1, 15):
            rows, total = job_lists.page(
                wanted, oldest_first=oldest_first, page=page, page_size=10, limit=10_000,
                since=datetime(2025, 12, 1, tzinfo=UTC), until=datetime(2026, 4, 1, tzinfo=UTC),
            )  # fmt: skip
            assert total == len(expected)
            seen += [row.job_id for row in rows]
        assert seen == expected
