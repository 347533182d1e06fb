"""What would be too large for its record, with all that its life adds, is refused with 422 that names the field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.access.actor import Role
from chalicelib.core.item_size import ITEM_BYTES, item_bytes
from chalicelib.core.lifecycle import Reason
from chalicelib.core.record_bounds import CHANGES_BYTES
from chalicelib.scheduling import tick
from chalicelib.store import audit, jobs, pools, record_sizes, tasks
from chalicelib.store.task_record import TaskRecord
from tests.support.api_records import Make
from tests.support.exact_sizes import exact_sizes
from tests.support.http import Http, Reply, as_role
from tests.support.world import World

# As large as a body may be: three bytes a letter in the body, six in the table.
LONG = "報" * 70_000
LETTER = "\U0001f426"


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact_sizes():
        yield


class Utf8(Http):
    """Sends letters as they are: a body of 262,144 bytes is then up to twice as large in the table."""

    def send(self, method: str, path: str, body: Any = None, **others: Any) -> Reply:
        raw = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        return super().send(method, path, **(others | {"raw": raw}))


@pytest.fixture
def admin(world: World) -> Http:
    return Utf8(as_role(Role.ADMIN).authorization)


@pytest.fixture
def spec(make: Make) -> dict[str, Any]:
    """Of a report that takes a text."""
    queries = [{"name": "q", "sql": "SELECT id FROM orders WHERE customer = :who"}]
    parameters = [{"name": "who", "type": "string", "default": "", "required": False, "description": ""}]
    return {"report_id": make.report(queries=queries, parameters=parameters)["report_id"]}


def refused(reply: Any) -> list[str]:
    assert (reply.status, reply.json["Code"]) == (422, "RecordTooLarge"), reply.raw
    fields: list[str] = reply.fields
    return fields


def test_a_task_that_leaves_no_room_for_its_jobs_is_not_saved(admin: Http, make: Make, spec: dict[str, Any]) -> None:
    body = make.task_body(spec=spec)
    assert refused(admin.post("/tasks", {**body, "parameters": {"who": LONG}})) == ["parameters"]
    assert refused(admin.post("/tasks", {**body, "spec": {**spec, "parameters": {"who": LONG}}})) == ["spec"]
    assert admin.get("/tasks").json["total"] == 0


def test_a_task_that_is_saved_has_jobs_that_live(admin: Http, make: Make, spec: dict[str, Any]) -> None:
    """The largest that is accepted, found by trying: half of the table's bytes are in the spec."""
    fits, too_much = 0, len(LONG)
    half = {**spec, "parameters": {"who": "報" * 20_000}}
    while too_much - fits > 1:
        tried = (fits + too_much) // 2
        reply = admin.post("/tasks", make.task_body(spec=half, parameters={"who": "報" * tried}))
        fits, too_much = (tried, too_much) if reply.status == 201 else (fits, tried)
    task = tasks.get(admin.get("/tasks", sort="-created_at").json["items"][0]["task_id"])
    job = jobs.get(admin.post(f"/tasks/{task.task_id}/run", {}).json["job_id"])
    assert fits > 20_000
    assert record_sizes.largest_bytes(job) <= record_sizes.BUDGET_BYTES
    assert record_sizes.BUDGET_BYTES - record_sizes.largest_bytes(job) < 1_000


def test_an_edit_is_refused_and_changes_nothing(admin: Http, make: Make, spec: dict[str, Any]) -> None:
    task = make.task(spec=spec)
    path = f"/tasks/{task['task_id']}"
    assert refused(admin.patch(path, {"parameters": {"who": LONG}})) == ["parameters"]
    assert refused(admin.put(path, make.task_body(spec=spec, parameters={"who": LONG}))) == ["parameters"]
    assert admin.get(path).json["revision"] == 1


def test_a_start_with_too_long_parameters_is_refused(admin: Http, make: Make, spec: dict[str, Any]) -> None:
    path = f"/tasks/{make.task(spec=spec)['task_id']}"
    assert refused(admin.post(f"{path}/run", {"parameters": {"who": LONG}})) == ["parameters"]
    assert admin.get("/jobs").json["total"] == 0


@pytest.fixture
def of_before(make: Make, spec: dict[str, Any]) -> TaskRecord:
    """A task that was saved before there was a budget."""
    task = tasks.get(make.task(spec=spec, enabled=False)["task_id"])
    task.parameters = {"who": "x" * 400_000}
    task.save()
    return task


def test_a_task_of_before_that_is_too_large_is_not_enabled_but_disabled_and_deleted(
    admin: Http, of_before: TaskRecord
) -> None:
    path = f"/tasks/{of_before.task_id}"
    assert refused(admin.post(f"{path}/enable", {})) == ["parameters"]
    assert refused(admin.post(f"{path}/run", {})) == ["parameters"]
    assert admin.post(f"{path}/disable", {"note": "too large"}).status == 200
    assert admin.delete(path).status == 204


def test_the_slots_of_a_task_of_before_are_recorded_and_do_not_run(
    admin: Http, of_before: TaskRecord, world: World
) -> None:
    of_before.enabled, of_before.next_fire_at, of_before.due_shard = True, world.now, 0
    of_before.parameters = {"who": ""}
    of_before.parameters = {"who": "x" * (ITEM_BYTES - item_bytes(of_before.serialize()) - 200)}
    of_before.save()
    tick.plan_now(of_before, now=world.now)
    [row] = admin.get("/jobs").json["items"]
    assert (row["status"], row["reason"]) == ("failed", Reason.UNCLAIMABLE)
    shown = admin.get(f"/jobs/{row['job_id']}").json
    assert "too large" in shown["error"]
    assert tasks.get(of_before.task_id).previous_fire_at == world.now


def test_a_report_that_is_too_large_names_its_queries(admin: Http, make: Make) -> None:
    body = make.report_body(queries=[{"name": "q", "sql": f"SELECT '{LONG}' AS a"}])
    assert refused(admin.post("/reports", body)) == ["queries"]
    report = make.report(source_id=body["source_id"])
    assert refused(admin.put(f"/reports/{report['report_id']}", body)) == ["queries"]


def test_an_audit_entry_of_the_largest_change_fits_its_record(admin: Http, make: Make, spec: dict[str, Any]) -> None:
    texts = {"description": LETTER * 4_000, "name": LETTER * 200, "group": LETTER * 100}
    long = {**texts, "parameters": {"who": "報" * 30_000}, "spec": {**spec, "parameters": {"who": "報" * 15_000}}}
    task = make.task(spec=spec)
    admin.patch(f"/tasks/{task['task_id']}", long)
    other = {name: value.replace(LETTER, "\U0001f427") for name, value in texts.items()}
    assert admin.patch(f"/tasks/{task['task_id']}", {**other, "parameters": {"who": "告" * 30_000}}).status == 200
    entries = list(audit.AuditRecord.scan())
    sizes = [len(json.dumps(entry.changes)) for entry in entries]
    assert 10_000 < max(sizes) <= CHANGES_BYTES
    assert all(item_bytes(entry.serialize()) < CHANGES_BYTES + 4_096 for entry in entries)


def test_no_more_limits_are_set_than_their_register_holds(
    admin: Http, make: Make, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "REGISTERED_MOST", 2)
    first, second, third = (make.task(spec=spec) for _ in range(3))
    for task in (first, second, first):
        assert admin.patch(f"/tasks/{task['task_id']}", {"max_concurrency": 3}).status == 200
    assert admin.patch(f"/tasks/{third['task_id']}", {"max_concurrency": 3}).fields == ["max_concurrency"]
