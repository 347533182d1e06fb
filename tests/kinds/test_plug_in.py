"""A kind and a source are each one folder and one row: what the API says and does of a toy kind and a toy source that
only these tests register.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from chalicelib import retention
from chalicelib.access.actor import Role
from chalicelib.api import openapi
from chalicelib.clock import Clock
from chalicelib.core.instants import parse
from chalicelib.kinds.registry import KINDS
from chalicelib.queue import claim
from chalicelib.settings import settings
from chalicelib.sources.registry import SOURCES
from chalicelib.worker.worker import handle
from tests.support.http import Http, Reply, as_role
from tests.support.simulator import Stage
from tests.support.waiting import PATIENCE_SECONDS, wait_for

DAYS = 3
MINUTELY = {"type": "cron", "expression": "* * * * *"}


@pytest.fixture(autouse=True)
def _made_anew() -> Iterator[None]:
    """What a process makes once of the registries and the environment is made for each test here, and after it."""
    cached = (settings.cache_clear, openapi.document.cache_clear, openapi._described.cache_clear)
    for clear in cached:
        clear()
    yield
    for clear in cached:
        clear()


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows, and the days that such a stage would be deployed with: all there is to adding a kind and a source."""
    monkeypatch.setitem(KINDS, "toy", "tests.support.toy_kind.wiring:toy")
    monkeypatch.setitem(SOURCES, "shelf", "tests.support.toy_source.source:ToySource")
    monkeypatch.setenv("CARILLON_RETENTION_DAYS_BY_KIND", f'{{"toy": {DAYS}}}')


@pytest.fixture
def admin(toys: None, stage: Stage) -> Http:
    stage.world.now = datetime.now(UTC)
    return as_role(Role.ADMIN)


def shelf(admin: Http, **changes: Any) -> str:
    """The id of a new source."""
    body = {"name": "Shelf", "kind": "shelf", "settings": {"room": "attic"}}
    return str(accepted(admin.post("/sources", body | changes))["source_id"])


def task(admin: Http, **changes: Any) -> dict[str, Any]:
    body = {"name": "Play", "kind": "toy", "enabled": False, "schedule": MINUTELY}
    return accepted(admin.post("/tasks", body | changes))


def started(admin: Http, **spec: Any) -> str:
    """The path of a new job."""
    path = f"/tasks/{task(admin, spec=spec)['task_id']}/run"
    return f"/jobs/{accepted(admin.post(path, {}))['job_id']}"


def accepted(reply: Reply) -> dict[str, Any]:
    assert reply.status in (200, 201), reply.raw
    found: dict[str, Any] = reply.json
    return found


def test_the_api_documents_the_models_and_reasons_of_what_is_registered(admin: Http) -> None:
    document = admin.get("/openapi.json").json
    OpenAPIV31SpecValidator(document).validate()
    schemas = document["components"]["schemas"]
    of_task, of_source = schemas["TaskIn"]["properties"], schemas["SourceIn"]["properties"]
    assert {"$ref": "#/components/schemas/ToySpec"} in of_task["spec"]["anyOf"]
    assert {"$ref": "#/components/schemas/ToySettings"} in of_source["settings"]["anyOf"]
    assert set(schemas["ToySpec"]["properties"]) == {"source_id", "toys", "seconds"}
    assert set(schemas["ToySettings"]["properties"]) == {"room", "toys", "sort"}
    assert ("toy" in of_task["kind"]["examples"], "shelf" in of_source["kind"]["examples"]) == (True, True)
    assert {"no_shelf", "no_toy", "no_source"} <= set(schemas["Reason"]["enum"])
    [of_list] = [each for each in document["paths"]["/jobs"]["get"]["parameters"] if each["name"] == "reason"]
    assert "no_toy" in str(of_list["schema"])
    words = schemas["Definition"]["properties"]["document"]["description"]
    assert "for a toy its shelf and the number of toys" in words


def test_without_the_rows_the_api_knows_neither(stage: Stage) -> None:
    admin = as_role(Role.ADMIN)
    assert "Toy" not in str(admin.get("/openapi.json").json)
    assert admin.post("/sources", {"name": "Shelf", "kind": "shelf", "settings": {}}).fields == ["kind"]
    body = {"name": "Play", "kind": "toy", "spec": {}, "schedule": MINUTELY}
    assert admin.post("/tasks", body).fields == ["kind"]
    assert admin.get("/jobs", reason="no_toy").fields == ["reason"]


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({}, ["settings.room"]),
        ({"room": "attic", "toys": -1}, ["settings.toys"]),
        ({"room": "", "sort": "car"}, ["settings.room", "settings.sort"]),
        ({"room": "attic", "floor": 2}, ["settings.floor"]),
    ],
)
def test_the_settings_of_a_source_are_those_of_its_model(admin: Http, given: dict[str, Any], fields: list[str]) -> None:
    refused = admin.post("/sources", {"name": "Shelf", "kind": "shelf", "settings": given})
    assert (refused.status, refused.fields) == (422, fields)


def test_a_source_stores_its_canonical_settings_and_is_tested(admin: Http) -> None:
    path = f"/sources/{shelf(admin)}"
    assert admin.get(path).json["settings"] == {"room": "attic", "toys": 3, "sort": "bear"}
    found = accepted(admin.post(f"{path}/test"))
    assert (found["product"], found["version"], found["user"], found["read_only"]) == ("Shelf", "1.0", "attic", True)


def test_a_password_is_asked_for_again_when_the_sources_own_address_changes(admin: Http) -> None:
    path = f"/sources/{shelf(admin, password='open')}"
    body = {"name": "Shelf", "kind": "shelf"}
    assert admin.put(path, body | {"settings": {"room": "attic", "toys": 9}}).status == 200
    assert admin.put(path, body | {"settings": {"room": "cellar"}}).fields == ["password"]
    assert admin.put(path, body | {"settings": {"room": "cellar"}, "password": "wrong"}).status == 200
    assert admin.post(f"{path}/test").json["Message"] == "The room is locked."


def test_a_report_is_read_in_the_sources_dialect_previewed_and_exported(admin: Http, stage: Stage) -> None:
    report = {"name": "Toys", "source_id": shelf(admin), "queries": [{"name": "all", "sql": "SELECT ? FROM shelf"}]}
    assert admin.post("/reports", report).fields == ["queries.0.sql"]
    report["queries"] = [{"name": "all", "sql": "SELECT * FROM shelf"}]
    report_id = accepted(admin.post("/reports", report))["report_id"]
    shown = accepted(admin.post(f"/reports/{report_id}/preview", {"limit": 2}))
    assert (shown["rows"], shown["more"]) == ([["1", "bear 1"], ["2", "bear 2"]], True)
    found = task(admin, kind="report_export", spec={"report_id": report_id})
    job = accepted(admin.post(f"/tasks/{found['task_id']}/run", {}))
    stage.world.now = datetime.now(UTC)
    stage.deliver()
    assert [file["rows"] for file in admin.get(f"/jobs/{job['job_id']}/files").json["items"]] == [3]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"spec": {}}, ["spec.source_id"]),
        ({"spec": {"source_id": "S", "toys": 0, "seconds": "long"}}, ["spec.toys", "spec.seconds"]),
        ({"spec": {"source_id": "S", "colour": "red"}}, ["spec.colour"]),
        ({"spec": {"source_id": "S"}, "parameters": {"day": 1}}, ["parameters.day"]),
    ],
)
def test_the_spec_of_a_task_is_that_of_its_kinds_model(admin: Http, changes: dict[str, Any], fields: list[str]) -> None:
    refused = admin.post("/tasks", {"name": "Play", "kind": "toy", "schedule": MINUTELY} | changes)
    assert (refused.status, refused.fields) == (422, fields)


def test_a_scheduled_task_fires_runs_and_publishes_below_its_kinds_prefix(admin: Http, stage: Stage) -> None:
    source_id = shelf(admin)
    made = task(admin, enabled=True, spec={"source_id": source_id, "toys": 2})
    assert made["spec"] == {"source_id": source_id, "toys": 2, "seconds": 0.0}
    stage.minutes(2)
    [row, *_] = admin.get("/jobs", kind="toy", source_id=source_id, action="play", status="succeeded").json["items"]
    path = f"/jobs/{row['job_id']}"
    found = admin.get(path).json
    assert (found["status"], found["rows"], found["summary"], found["trigger"]) == (
        "succeeded",
        3,
        "3 toys",
        "schedule",
    )
    [file] = admin.get(f"{path}/files").json["items"]
    assert file["key"] == f"files/toy/{row['job_id']}/1/1/toys.csv"
    assert stage.world.objects()[file["key"]] == b"number,toy\n1,bear 1\n2,bear 2\n3,bear 3\n"
    messages = [line["message"] for line in admin.get(f"{path}/logs").json["items"]]
    assert messages[1:4] == ["Playing with toy 1.", "Playing with toy 2.", "3 toys"]
    assert f"logs/toy/{row['job_id']}/1.jsonl.gz" in stage.world.objects()


def run_now(stage: Stage) -> None:
    """Deliver what was just asked for: the API has the real clock."""
    stage.world.now = datetime.now(UTC)
    stage.deliver()


def test_what_a_job_leaves_is_kept_for_the_days_of_its_kind(admin: Http, stage: Stage) -> None:
    path = started(admin, source_id=shelf(admin))
    run_now(stage)
    found = admin.get(path).json
    assert parse(found["expires_at"]) == retention.expires_at("toy", parse(found["ended_at"]))
    assert parse(found["expires_at"]) - parse(found["ended_at"]) <= timedelta(days=DAYS + 1)
    assert [run.expires_at for run in stage.runs()] == [parse(found["expires_at"])]
    assert found["cost"]["s3_byte_days"] == found["bytes"] * DAYS > 0
    assert float(found["cost"]["usd"]) > 0


@pytest.mark.parametrize("delete", [False, True], ids=["too_few_toys", "no_shelf_at_all"])
def test_a_missing_precondition_blocks_the_job_for_the_kinds_own_reason(
    admin: Http, stage: Stage, delete: bool
) -> None:
    source_id = shelf(admin)
    path = started(admin, source_id=source_id, toys=1 if delete else 5)
    if delete:
        # The API refuses to delete a source that a task uses.
        assert admin.delete(f"/sources/{source_id}").status == 409
        stage.world.client("dynamodb").delete_item(
            TableName="carillon-test-sources", Key={"source_id": {"S": source_id}}
        )
    run_now(stage)
    reason = "no_shelf" if delete else "no_toy"
    found = admin.get(path).json
    assert (found["status"], found["reason"], found["run_count"]) == ("blocked", reason, 1)
    assert [failure["reason"] for failure in found["failures"]] == [reason]
    listed = admin.get("/jobs", reason=reason).json["items"]
    assert [(row["job_id"], row["reason"]) for row in listed] == [(found["job_id"], reason)]
    assert admin.get("/jobs", reason="no_report").json["items"] == []
    assert [each["reason"] for each in admin.get(f"{path}/runs").json["items"]] == [reason]


def test_each_run_keeps_the_definition_that_it_ran(admin: Http, stage: Stage) -> None:
    source_id = shelf(admin)
    path = started(admin, source_id=source_id)
    before = admin.get(path).json["definition"]
    assert before == {"frozen": False, "run_no": None, "document": {"shelf": "Shelf", "toys": 1}}
    run_now(stage)
    renamed = {"name": "Cupboard", "kind": "shelf", "settings": {"room": "attic"}}
    accepted(admin.put(f"/sources/{source_id}", renamed))
    accepted(admin.post(f"{path}/rerun"))
    run_now(stage)
    first, second = ({"shelf": name, "toys": 1, "played": True} for name in ("Shelf", "Cupboard"))
    assert admin.get(path).json["definition"] == {"frozen": True, "run_no": 2, "document": second}
    assert admin.get(path, run=1).json["definition"] == {"frozen": True, "run_no": 1, "document": first}


def test_a_blocked_job_is_run_again_once_what_it_needs_is_there(admin: Http, stage: Stage) -> None:
    source_id = shelf(admin, settings={"room": "attic", "toys": 0})
    path = started(admin, source_id=source_id)
    run_now(stage)
    assert admin.get(path).json["reason"] == "no_toy"
    accepted(admin.put(f"/sources/{source_id}", {"name": "Shelf", "kind": "shelf", "settings": {"room": "attic"}}))
    accepted(admin.post(f"{path}/rerun"))
    run_now(stage)
    found = admin.get(path).json
    assert (found["status"], found["reason"], found["run_no"]) == ("succeeded", None, 2)


def test_a_waiting_job_is_cancelled(admin: Http, stage: Stage) -> None:
    path = started(admin, source_id=shelf(admin))
    assert accepted(admin.post(f"{path}/cancel"))["status"] == "canceled"
    run_now(stage)
    assert admin.get(path).json["run_count"] == 0


def test_a_running_job_stops_when_it_is_cancelled_and_leaves_no_file(admin: Http, stage: Stage) -> None:
    path = started(admin, source_id=shelf(admin), seconds=30)
    stage.collect()
    [message] = stage.messages
    worker = claim.Worker("worker-1", datetime.now(UTC) + timedelta(minutes=15), Clock())
    thread = threading.Thread(target=handle, args=(message.body,), kwargs={"worker": worker})
    thread.start()
    wait_for(lambda: admin.get(path).json["status"] == "running")
    accepted(admin.post(f"{path}/cancel"))
    thread.join(PATIENCE_SECONDS)
    found = admin.get(path).json
    assert (found["status"], found["reason"]) == ("canceled", "by_user")
    assert found["cancel_requested_at"] <= found["stopped_at"] <= found["canceled_at"]
    assert [key for key in stage.world.objects() if not key.startswith("logs/")] == []


def test_the_audit_tells_every_change(admin: Http, stage: Stage) -> None:
    source_id = shelf(admin)
    path = started(admin, source_id=source_id)
    accepted(admin.post(f"{path}/cancel"))
    entries = admin.get("/audit").json["items"]
    told = [(entry["action"], entry["record_type"]) for entry in entries if entry["record_type"] != "token"]
    assert told == [("cancel", "job"), ("run", "task"), ("create", "task"), ("create", "source")]
    [created] = [entry for entry in entries if entry["action"] == "create" and entry["record_type"] == "task"]
    assert created["changes"]["kind"] == [None, "toy"]
    assert created["changes"]["spec"] == [None, {"source_id": source_id, "toys": 1, "seconds": 0.0}]


def test_the_records_of_a_kind_that_is_gone_still_read(
    admin: Http, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = started(admin, source_id=shelf(admin), toys=5)
    run_now(stage)
    monkeypatch.delitem(KINDS, "toy")
    monkeypatch.delitem(SOURCES, "shelf")
    found = admin.get(path).json
    assert (found["kind"], found["status"], found["reason"]) == ("toy", "blocked", "no_toy")
    assert found["definition"]["document"] == {}
    assert [row["reason"] for row in admin.get("/jobs", kind="toy").json["items"]] == ["no_toy"]
    assert [source["kind"] for source in admin.get("/sources").json["items"]] == ["shelf"]
