from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.access.actor import Role
from chalicelib.core.lifecycle import JobStatus
from chalicelib.queue import position
from chalicelib.store import job_updates, jobs
from tests.support.api_records import Make
from tests.support.http import Http, as_role
from tests.support.simulator import PROBE, Stage

CLOUD = "/pools/cloud"


def test_every_pool_that_something_names_is_listed_with_its_counts(admin: Http, make: Make) -> None:
    make.job()
    [pool] = admin.get("/pools").json["items"]
    assert (pool["pool_id"], pool["paused"], pool["revision"]) == ("cloud", False, 0)
    assert [pool[status] for status in ("waiting", "assigned", "running")] == [1, 0, 0]
    assert admin.get(CLOUD).json == pool


def test_an_operator_pauses_and_resumes_a_pool_and_the_audit_has_both(admin: Http, world: Any) -> None:
    operator = as_role(Role.OPERATOR)
    paused = operator.patch(CLOUD, {"paused": True, "note": "the database moves"})
    assert (paused.status, paused.json["paused"], paused.json["note"]) == (200, True, "the database moves")
    on = operator.patch(CLOUD, {"paused": False}, etag=paused.headers["ETag"])
    assert (on.json["paused"], on.json["revision"]) == (False, 2)
    changes = [entry["changes"] for entry in admin.get("/audit").json["items"] if entry["record_type"] == "pool"]
    assert changes[0] == {"paused": [True, False]}


def test_a_pool_edited_since_it_was_read_is_not_changed(admin: Http, world: Any) -> None:
    first = admin.get(CLOUD).headers["ETag"]
    assert admin.patch(CLOUD, {"description": "the worker"}, etag=first).status == 200
    assert admin.patch(CLOUD, {"paused": True}, etag=first).status == 412
    assert admin.get(CLOUD).json["paused"] is False


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/pools/nowhere", {"paused": True}, 404),
        (CLOUD, {"paused": "yes"}, 422),
        (CLOUD, {"pool_id": "other"}, 422),
        # Ids hold no `~`: the register of limits is no pool.
        ("/pools/~limits", {"paused": True}, 404),
    ],
)
def test_an_invalid_change_is_refused(admin: Http, world: Any, path: str, body: dict[str, Any], status: int) -> None:
    assert admin.patch(path, body).status == status


def test_a_viewer_reads_pools_and_cannot_pause_them(world: Any) -> None:
    viewer = as_role(Role.VIEWER)
    assert viewer.get("/pools").status == 200
    assert viewer.patch(CLOUD, {"paused": True}).status == 403


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [0, 1001, "many"])
def test_a_limit_is_between_one_and_a_thousand(admin: Http, make: Make, most: Any) -> None:
    assert admin.post("/tasks", make.task_body(max_concurrency=most)).fields == ["max_concurrency"]
    assert admin.post("/sources", make.source_body(max_concurrency=most)).fields == ["max_concurrency"]


def test_limits_are_set_changed_and_cleared(admin: Http, make: Make) -> None:
    task, source = make.task(max_concurrency=2), make.source(max_concurrency=3)
    assert (task["max_concurrency"], source["max_concurrency"]) == (2, 3)
    path = f"/tasks/{task['task_id']}"
    assert admin.patch(path, {"max_concurrency": None}).json["max_concurrency"] is None
    body = make.source_body(max_concurrency=1000)
    assert admin.put(f"/sources/{source['source_id']}", body).json["max_concurrency"] == 1000


# --- the place of a waiting job ---------------------------------------------------------------------------------------


def waiting(stage: Stage, priority: int) -> str:
    from chalicelib.tasks import starts
    from tests.support.simulator import OPERATOR

    task = stage.task(enabled=False, priority=priority)
    return starts.run(task.task_id, actor=OPERATOR, now=stage.now).job_id


def place(stage: Stage, job_id: str) -> position.Position:
    found = position.position_of(jobs.get(job_id), now=stage.now)
    assert found is not None
    return found


def history(stage: Stage, seconds: float, count: int = 2) -> None:
    """Jobs that ran for so long."""

    def takes(context: Any) -> Any:
        stage.world.forward(seconds=seconds)
        return type(PROBE)().behaviour(context)

    PROBE.behaviour = takes
    for _ in range(count):
        waiting(stage, 0)
    stage.deliver()


def test_a_position_counts_the_jobs_that_are_claimed_before(stage: Stage) -> None:
    last, first, *tied = (waiting(stage, priority) for priority in (10, 30, 20, 20))
    # Of the same rank, the smaller id goes first.
    in_order = [first, *sorted(tied), last]
    assert [place(stage, job_id).position for job_id in in_order] == [1, 2, 3, 4]
    job_updates.set_priority(jobs.get(last), 5000)
    assert [place(stage, job_id).position for job_id in (last, *in_order[:3])] == [1, 2, 3, 4]


def test_a_start_is_estimated_from_the_last_runs_and_the_jobs_ahead(stage: Stage) -> None:
    history(stage, 30)
    first, second, third = (waiting(stage, priority) for priority in (30, 20, 10))
    found = place(stage, third)
    assert (found.position, found.mean_run_seconds, found.sample, found.active) == (3, 30.0, 2, 0)
    assert found.estimated_start_at == stage.now + timedelta(seconds=60)
    assert place(stage, first).estimated_start_at == stage.now
    assert place(stage, second).reason is None


def test_a_planned_job_is_not_estimated_to_start_before_its_time(stage: Stage) -> None:
    history(stage, 1)
    stage.task(schedule={"type": "cron", "expression": "* * * * *"})
    [planned] = [job for job in stage.jobs() if job.status == JobStatus.WAITING]
    found = place(stage, planned.job_id)
    assert (found.position, found.estimated_start_at) == (1, planned.not_before)


def test_without_an_estimated_start_the_answer_has_the_reason(stage: Stage) -> None:
    from chalicelib.queue import pools
    from chalicelib.queue.concurrency import of_task
    from tests.support.simulator import OPERATOR

    job = jobs.get(waiting(stage, 10))
    assert place(stage, job.job_id).reason == "no_history"
    assert job_updates.park(job, of_task(job.task_id))
    found = place(stage, job.job_id)
    assert (found.reason, found.limited_by, found.estimated_start_at) == ("limited", of_task(job.task_id), None)
    pools.patch("cloud", {"paused": True}, revision=None, actor=OPERATOR, now=stage.now)
    assert (place(stage, job.job_id).reason, place(stage, job.job_id).paused) == ("paused", True)
    assert job_updates.buffer(job, lease_until=stage.now)
    assert place(stage, job.job_id).position is None


def test_the_answer_to_a_changed_priority_has_the_new_position(admin: Http, make: Make) -> None:
    job = make.job()
    other = make.job()
    assert admin.get(f"/jobs/{other['job_id']}").json["queue"]["position"] == 2
    changed = admin.patch(f"/jobs/{other['job_id']}", {"priority": 5000}).json
    assert (changed["queue"]["position"], changed["queue"]["reason"]) == (1, "no_history")
    assert admin.get(f"/jobs/{job['job_id']}").json["queue"]["position"] == 2
    admin.post(f"/jobs/{job['job_id']}/cancel")
    assert admin.get(f"/jobs/{job['job_id']}").json["queue"] is None
