from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.access.actor import Role
from chalicelib.api.models.batches import JobFilterIn
from chalicelib.api.models.job_filters import PAGING
from chalicelib.api.models.jobs import JobQuery
from chalicelib.clock import Clock
from chalicelib.queue import claim
from chalicelib.worker.worker import handle
from tests.support.api_records import Make
from tests.support.http import Http, as_role
from tests.support.world import World

ZEROES = {"done": 0, "refused": 0, "not_found": 0, "canceled": 0, "pending": 0}


def take_messages(world: World, about: str = "batch") -> int:
    """Let a worker take those messages; the others are lost."""
    found = [message for message in world.messages() if about in message]
    worker = claim.Worker("worker-1", datetime.now(UTC) + timedelta(minutes=10), Clock())
    for message in found:
        handle(json.dumps(message), worker=worker)
    return len(found)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["action"]),
        ({"action": "explode", "job_ids": ["a"]}, ["action"]),
        ({"action": "cancel"}, ["job_ids"]),
        ({"action": "cancel", "job_ids": []}, ["job_ids"]),
        ({"action": "cancel", "job_ids": "a"}, ["job_ids"]),
        ({"action": "cancel", "job_ids": ["a", "b c"]}, ["job_ids.1"]),
        ({"action": "cancel", "job_ids": [1]}, ["job_ids.0"]),
        ({"action": "cancel", "job_ids": ["a"], "filter": {"created": "all"}}, ["job_ids"]),
        ({"action": "cancel", "filter": {}}, ["filter"]),  # would be every job
        ({"action": "cancel", "filter": {"status": []}}, ["filter"]),  # so would these
        ({"action": "delete", "filter": {"group": None, "timezone": "UTC"}}, ["filter"]),
        ({"action": "cancel", "filter": {"status": ["asleep"]}}, ["filter.status.0"]),
        ({"action": "cancel", "filter": {"status": "waiting"}}, ["filter.status"]),
        ({"action": "cancel", "filter": {"page": 2}}, ["filter.page"]),
        ({"action": "cancel", "filter": {"sort": "created_at"}}, ["filter.sort"]),
        ({"action": "cancel", "filter": {"colour": "red"}}, ["filter.colour"]),
        ({"action": "cancel", "filter": {"created": "week", "created_to": "2026-01-01T00:00:00Z"}}, ["filter.created"]),
        (
            {
                "action": "cancel",
                "filter": {"created_from": "2026-02-01T00:00:00Z", "created_to": "2026-01-01T00:00:00Z"},
            },
            ["filter.created_from"],
        ),
        ({"action": "cancel", "filter": {"created": "week", "timezone": "Mars/Base"}}, ["filter.timezone"]),
        ({"action": "set_priority", "job_ids": ["a"]}, ["priority"]),
        ({"action": "set_priority", "job_ids": ["a"], "priority": 5001}, ["priority"]),
        ({"action": "set_priority", "job_ids": ["a"], "priority": "high"}, ["priority"]),
        ({"action": "cancel", "job_ids": ["a"], "priority": 1}, ["priority"]),
        ({"action": "cancel", "job_ids": ["a"], "dry_run": "yes"}, ["dry_run"]),
        ({"action": "cancel", "job_ids": ["x" * 64] * 10_001}, ["job_ids"]),
    ],
)
def test_an_invalid_batch_is_refused_by_name(admin: Http, body: dict[str, Any], fields: list[str]) -> None:
    reply = admin.post("/jobs/batch", body)
    assert (reply.status, reply.fields) == (422, fields), reply.raw
    assert admin.get("/batches").json["total"] == 0


def test_ten_thousand_ids_are_taken(admin: Http, world: World) -> None:
    ids = [f"{number:064}" for number in range(10_000)]
    reply = admin.post("/jobs/batch", {"action": "cancel", "job_ids": ids})
    assert (reply.status, reply.json["total"]) == (202, 10_000), reply.raw
    (row,) = admin.get("/batches").json["items"]
    assert row["counts"] == ZEROES | {"pending": 10_000}
    last = admin.get(f"/batches/{row['batch_id']}", page=1_000, page_size=10).json["outcomes"]
    assert [each["job_id"] for each in last["items"]] == ids[-10:]
    assert (last["total"], last["pages"]) == (10_000, 1_000)
    beyond = admin.get(f"/batches/{row['batch_id']}", page=1_001, page_size=10).json["outcomes"]
    assert (beyond["items"], beyond["total"]) == ([], 10_000)


def test_a_batch_is_watched_to_its_end(admin: Http, make: Make, world: World) -> None:
    job, other = make.job(), make.job(name="Other")
    body = {"action": "cancel", "filter": {"status": ["waiting"], "search": "daily"}}
    shown = admin.post("/jobs/batch", body | {"dry_run": True})
    assert (shown.status, shown.json) == (
        200,
        {
            "dry_run": True,
            "action": "cancel",
            "matched": 1,
            "statuses": {"waiting": 1},
            "taken": 1,
            "refused": [],
            "not_found": 0,
        },
    )
    begun = admin.post("/jobs/batch", body)
    assert begun.status == 202
    assert begun.json | {"batch_id": "", "created_at": ""} == {
        "batch_id": "",
        "created_at": "",
        "action": "cancel",
        "priority": None,
        "filter": body["filter"],
        "status": "running",
        "total": 1,
        "counts": ZEROES | {"pending": 1},
        "actor": "token:admin",
        "role": "admin",
        "cancel_requested_at": None,
        "cancel_requested_by": None,
        "ended_at": None,
    }
    path = f"/batches/{begun.json['batch_id']}"
    pending = {"job_id": job["job_id"], "task_name": "Daily orders", "outcome": "pending"}
    pending |= {"message": None, "status": None}
    assert admin.get(path).json["outcomes"]["items"] == [pending]
    assert take_messages(world) == 1
    done = admin.get(path).json
    assert (done["status"], done["counts"]) == ("done", ZEROES | {"done": 1})
    assert done["outcomes"]["items"] == [pending | {"outcome": "done", "status": "canceled"}]
    assert admin.get(path, outcome="refused").json["outcomes"]["items"] == []
    assert admin.get(f"/jobs/{other['job_id']}").json["status"] == "waiting"
    refused = admin.post(f"{path}/cancel")
    assert (refused.status, refused.json["Code"]) == (409, "WrongState")
    assert "it is done" in refused.json["Message"]


def test_a_batch_that_is_cancelled_at_once_touches_no_job(admin: Http, make: Make, world: World) -> None:
    job = make.job()
    batch = admin.post("/jobs/batch", {"action": "cancel", "job_ids": [job["job_id"]]}).json
    path = f"/batches/{batch['batch_id']}"
    assert admin.post(f"{path}/cancel").json["cancel_requested_by"] == "token:admin"
    take_messages(world)
    found = admin.get(path, outcome="canceled").json
    assert (found["status"], found["counts"]) == ("canceled", ZEROES | {"canceled": 1})
    assert found["outcomes"]["items"][0]["message"] == "The batch was cancelled before."
    assert admin.get(f"/jobs/{job['job_id']}").json["status"] == "waiting"


def test_outcomes_show_the_name_of_the_task_while_their_job_is_there(admin: Http, make: Make, world: World) -> None:
    ids = [make.job()["job_id"], make.job(name="Other")["job_id"], "none"]
    for action, named in (("cancel", ["Daily orders", "Other", None]), ("delete", [None, None, None])):
        batch = admin.post("/jobs/batch", {"action": action, "job_ids": ids}).json
        take_messages(world)
        items = admin.get(f"/batches/{batch['batch_id']}").json["outcomes"]["items"]
        assert [(row["job_id"], row["task_name"]) for row in items] == list(zip(ids, named, strict=True))


def test_a_repeated_request_gives_the_same_batch(admin: Http, world: World) -> None:
    body = {"action": "cancel", "job_ids": ["a"]}
    first, second = (admin.post("/jobs/batch", body, key="k-1") for _ in range(2))
    assert first.raw == second.raw
    assert admin.get("/batches").json["total"] == 1
    assert admin.post("/jobs/batch", body, key="k-2").json["batch_id"] != first.json["batch_id"]


def test_a_viewer_reads_batches_and_starts_none(admin: Http, world: World) -> None:
    viewer = as_role(Role.VIEWER)
    batch = admin.post("/jobs/batch", {"action": "cancel", "job_ids": ["a"]}).json
    assert viewer.get(f"/batches/{batch['batch_id']}").status == viewer.get("/batches").status == 200
    for path in ("/jobs/batch", f"/batches/{batch['batch_id']}/cancel"):
        reply = viewer.post(path, {})
        assert (reply.status, reply.json["Code"]) == (403, "Forbidden")
        assert "needs the role operator" in reply.json["Message"]


def test_an_unknown_batch_is_not_found(admin: Http) -> None:
    for reply in (admin.get("/batches/none"), admin.post("/batches/none/cancel")):
        assert (reply.status, reply.json["Code"]) == (404, "BatchNotFound")


def test_a_filter_is_what_the_list_of_jobs_takes() -> None:
    assert set(JobFilterIn.model_fields) == set(JobQuery.model_fields) - PAGING
