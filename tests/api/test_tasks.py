from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from chalicelib.access.actor import Role
from chalicelib.store import tasks as task_store
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import listing as task_listing
from chalicelib.tasks.listing import COLUMNS
from tests.api.test_schedules import BAD_SCHEDULES
from tests.support.api_records import ZONE, Make
from tests.support.http import Http, as_role
from tests.support.simulator import Stage
from tests.support.world import World


def test_a_task_is_made_read_listed_replaced_and_deleted(admin: Http, make: Make) -> None:
    task = make.task()
    path = f"/tasks/{task['task_id']}"
    assert admin.get(path).json | {"job_id": None} == task
    assert task["creator"] == "token:admin"
    assert task["schedule"]["expression"] == "0 2 * * *"
    fires = datetime.fromisoformat(task["next_fire_at"]).astimezone(ZoneInfo(ZONE))
    assert (fires.hour, fires.minute) == (2, 0)
    assert [row["task_id"] for row in admin.get("/tasks").json["items"]] == [task["task_id"]]
    replaced = admin.put(path, make.task_body(spec=task["spec"], name="Other", enabled=False)).json
    assert (replaced["name"], replaced["revision"], replaced["next_fire_at"]) == ("Other", 2, None)
    assert admin.delete(path).status == 204
    assert admin.get(path).json["Code"] == "TaskNotFound"


def test_a_patch_changes_the_named_fields_only(admin: Http, make: Make) -> None:
    task = make.task(window={"type": "yesterday"}, deadline_seconds=60)
    patched = admin.patch(f"/tasks/{task['task_id']}", {"priority": 2000, "deadline_seconds": None, "window": None})
    changed = {name for name in task if patched.json[name] != task[name]}
    assert changed - {"updated_at", "spec"} == {"priority", "deadline_seconds", "window", "revision"}


def test_a_patch_cannot_clear_what_a_task_needs(admin: Http, make: Make) -> None:
    path = f"/tasks/{make.task()['task_id']}"
    for name in ("name", "kind", "spec", "schedule", "enabled", "priority", "overlap"):
        assert admin.patch(path, {name: None}).fields[:1] == [name]


def test_a_task_is_disabled_and_enabled_with_a_note(admin: Http, make: Make) -> None:
    path = f"/tasks/{make.task()['task_id']}"
    disabled = admin.post(f"{path}/disable", {"note": "source moves"}).json
    assert (disabled["enabled"], disabled["note"], disabled["next_fire_at"]) == (False, "source moves", None)
    enabled = admin.post(f"{path}/enable").json
    assert enabled["enabled"] is True
    assert enabled["next_fire_at"] is not None


def test_a_run_starts_a_job_now_or_for_a_past_slot(admin: Http, make: Make) -> None:
    shanghai = {"type": "cron", "expression": "0 14 * * *", "timezone": "Asia/Shanghai"}
    task = make.task(window={"type": "yesterday"}, schedule=shanghai)
    path = f"/tasks/{task['task_id']}/run"
    now = admin.post(path).json
    assert (now["status"], now["trigger"], now["operator"]) == ("waiting", "manual", "token:admin")
    past = admin.post(path, {"scheduled_for": "2026-02-11T06:00:00Z"}).json
    assert (past["window_start"], past["window_end"]) == ("2026-02-09T16:00:00Z", "2026-02-10T16:00:00Z")
    future = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert admin.post(path, {"scheduled_for": future}).fields == ["scheduled_for"]


def test_a_task_deleted_leaves_its_jobs(admin: Http, make: Make) -> None:
    job = make.job()
    assert admin.delete(f"/tasks/{job['task_id']}").status == 204
    assert admin.get(f"/jobs/{job['job_id']}").json["task_name"] == "Daily orders"


def test_lists_search_filter_sort_and_page(admin: Http, make: Make) -> None:
    spec = {"report_id": make.report()["report_id"]}
    for number in range(12):
        group = "even" if number % 2 == 0 else "odd"
        make.task(name=f"Task {number:02}", spec=spec, group=group, enabled=number < 10)
    names = lambda **query: [row["name"] for row in admin.get("/tasks", **query).json["items"]]  # noqa: E731
    assert names(search="task 0", sort="name", page_size=10) == [f"Task {number:02}" for number in range(10)]
    assert names(sort="-name")[0] == "Task 11"
    assert names(group="odd", sort="name")[:2] == ["Task 01", "Task 03"]
    assert names(enabled="false", sort="name") == ["Task 10", "Task 11"]
    assert names(kind="sql_script") == []
    assert names(creator="token:admin", sort="name", page=2, page_size=10) == ["Task 10", "Task 11"]
    page = admin.get("/tasks", page_size=10).json
    assert (page["total"], page["pages"], page["total_is_lower_bound"]) == (12, 2, False)


def test_a_row_shows_what_an_export_log_shows(admin: Http, make: Make) -> None:
    task = make.task(name="每日订单", description="for finance")
    ended(admin, task)
    (row,) = admin.get("/tasks").json["items"]
    assert row["information"] == {
        "en": f"At 02:00 every day ({ZONE}).",
        "zh": f"每天 02:00 执行（时区 {ZONE}）。",
    }
    shown = (row["name"], row["kind"], row["creator"], row["description"], row["enabled"], row["latest_status"])
    assert shown == ("每日订单", "report_export", "token:admin", "for finance", True, "canceled")
    assert row["next_fire_at"] == task["next_fire_at"]
    assert datetime.fromisoformat(row["latest_at"]) >= datetime.fromisoformat(row["created_at"])


def ended(admin: Http, task: dict[str, Any]) -> None:
    """Let a job of the task come to an end."""
    job = admin.post(f"/tasks/{task['task_id']}/run").json
    assert admin.post(f"/jobs/{job['job_id']}/cancel").status == 200


def test_a_list_of_tasks_sorts_by_every_column_it_shows(admin: Http, make: Make) -> None:
    spec = {"report_id": make.report()["report_id"]}
    year = datetime.now(UTC).year
    soon, late = ({"type": "once", "at": f"{year + years}-01-01T00:00:00"} for years in (1, 2))
    make.task(name="b", spec=spec, schedule=late, description="x", group="g", priority=2)
    make.task(name="A", spec=spec, description="Y", enabled=False, priority=30)
    ended(admin, make.task(name="c", spec=spec, schedule=soon, description="z", group="H", priority=1))
    shown = set(admin.get("/tasks").json["items"][0])
    assert shown - set(COLUMNS) == {"task_id", "latest_job_id", "revision"}
    # What is equal in all of them leaves the newest first.
    order = {
        "name": "Abc", "information": "Acb", "latest_status": "Abc", "latest_at": "Abc", "next_fire_at": "cbA",
        "created_at": "bAc", "updated_at": "bAc", "description": "bAc",
        "enabled": "Acb", "group": "Abc", "priority": "cbA", "schedule": "Acb",
        "kind": "cAb", "creator": "cAb", "note": "cAb", "source_id": "cAb", "source_name": "cAb",
    }  # fmt: skip
    assert set(order) == set(COLUMNS)
    names = lambda **query: "".join(row["name"] for row in admin.get("/tasks", **query).json["items"])  # noqa: E731
    assert {column: names(sort=column) for column in COLUMNS} == order
    assert names(sort="-name") == "cbA"
    assert names(sort="-priority") == "Abc"


def test_a_task_planned_ahead_sorts_by_the_execution_it_shows(stage: Stage) -> None:
    """A tick takes a slot out of the plan before it comes; until then it is the next execution."""
    other = stage.task(schedule={"type": "cron", "expression": "2 9 * * *"})
    ahead = stage.task(schedule={"type": "cron", "expression": "1,30 9 * * *"})
    stage.tick()
    assert task_store.get(ahead.task_id).next_fire_at == stage.now + timedelta(minutes=30)
    found = task_listing.listing(task_listing.TaskFilter(), now=stage.now, sort="next_fire_at")
    assert [task.task_id for task in found.items] == [ahead.task_id, other.task_id]


def test_pages_of_tasks_are_of_the_size_asked_for(admin: Http, make: Make) -> None:
    row = TaskRecord.get(make.task(name="a")["task_id"]).to_dynamodb_dict()
    with TaskRecord.batch_write() as batch:
        for number in range(20):
            batch.save(TaskRecord.from_raw_data(row | {"task_id": {"S": f"more-{number:03}"}}))
    for page_size, lengths in {10: [10, 10, 1, 0], 20: [20, 1, 0], 50: [21, 0], 100: [21, 0]}.items():
        pages = [
            admin.get("/tasks", sort="name", page_size=page_size, page=number).json
            for number in range(1, len(lengths) + 1)
        ]
        assert [len(page["items"]) for page in pages] == lengths
        assert {(page["total"], page["pages"]) for page in pages} == {(21, len(lengths) - 1)}
        assert len({row["task_id"] for page in pages for row in page["items"]}) == 21


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("sort=colour", "sort"),
        ("page_size=30", "page_size"),
        ("page=0", "page"),
        ("latest_status=asleep", "latest_status"),
        ("enabled=perhaps", "enabled"),
        ("search=" + "x" * 201, "search"),
    ],
)
def test_an_invalid_filter_is_refused_by_name(admin: Http, query: str, field: str) -> None:
    reply = admin.send("GET", f"/tasks?{query}")
    assert (reply.status, reply.fields) == (422, [field])


@pytest.mark.parametrize(("schedule", "field"), BAD_SCHEDULES, ids=str)
def test_a_bad_schedule_is_refused_by_field_and_leaves_nothing(
    admin: Http, world: World, schedule: Any, field: str
) -> None:
    body = {"name": "x", "kind": "report_export", "spec": {"report_id": "r"}, "schedule": schedule}
    reply = admin.post("/tasks", body)
    assert (reply.status, reply.fields[:1]) == (422, [field]), reply.raw
    assert world.items("tasks") == []
    assert world.items("jobs") == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"kind": "no_such_kind"}, "kind"),
        ({"spec": {}}, "spec.report_id"),
        ({"spec": {"report_id": "no-such"}}, "spec.report_id"),
        ({"spec": {"format": "docx"}}, "spec.format"),
        ({"spec": {"compression": "rar"}}, "spec.compression"),
        ({"spec": {"file_name": "../evil.csv"}}, "spec.file_name"),
        ({"spec": {"file_name": "a/b.csv"}}, "spec.file_name"),
        ({"spec": {"file_name": "{secret}.csv"}}, "spec.file_name"),  # an unknown key
        ({"spec": {"file_name": "{window_start:%Y}.csv"}}, "spec.file_name"),  # the task has no window
        ({"spec": {"no_such": 1}}, "spec.no_such"),
        ({"window": {"type": "tomorrow"}}, "window.type"),
        ({"schedule": {"type": "now"}, "window": {"type": "since_previous_fire"}}, "window.type"),
        ({"misfire": "perhaps"}, "misfire.policy"),
        ({"misfire": {"policy": "skip", "union": True}}, "misfire.union"),
        ({"overlap": "sometimes"}, "overlap"),
        ({"priority": -1}, "priority"),
        ({"priority": 5001}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"retry": {"max_attempts": 0}}, "retry.max_attempts"),
        ({"retry": {"max_attempts": 33}}, "retry.max_attempts"),
        ({"retry": {"backoff": "random"}}, "retry.backoff"),
        ({"pool": "a b"}, "pool"),
        ({"pool": "lab"}, "pool"),  # nothing serves it
        ({"name": "a\x7fb"}, "name"),
        ({"name": "invoice\u202efdp.exe"}, "name"),
        ({"name": "zero\u200bwidth"}, "name"),
        ({"name": "soft\u00adhyphen"}, "name"),
        ({"name": "mark\ufeff"}, "name"),
        ({"name": "word\u2060joiner"}, "name"),
        ({"name": "latin\u200djoiner"}, "name"),
        ({"name": "tag\U000e0041"}, "name"),
        ({"name": "\u3164"}, "name"),
        ({"group": "a\u2066b"}, "group"),
        ({"spec": {"csv": {"bom": "yes"}}}, "spec.csv.bom"),
        ({"spec": {"csv": {"header": 1}}}, "spec.csv.header"),
        ({"trigger": "cloudwatch"}, "trigger"),
        ({"trigger": "eventbridge"}, "schedule.timezone"),
        ({"enabled": "yes"}, "enabled"),
        ({"deadline_seconds": 0}, "deadline_seconds"),
        ({"queue_wait_limit_seconds": 10**9}, "queue_wait_limit_seconds"),
        ({"statement_timeout_seconds": -5}, "statement_timeout_seconds"),
        ({"parameters": [1]}, "parameters"),
        ({"creator": "me"}, "creator"),
        ({"next_fire_at": "2030-01-01T00:00:00Z"}, "next_fire_at"),
    ],
    ids=str,
)
def test_an_invalid_task_is_refused_by_field_and_leaves_nothing(
    admin: Http, make: Make, world: World, changes: dict[str, Any], field: str
) -> None:
    report_id = make.report()["report_id"]
    if "spec" in changes and changes["spec"] and "report_id" not in changes["spec"]:
        changes = changes | {"spec": changes["spec"] | {"report_id": report_id}}
    reply = admin.post("/tasks", make.task_body(**({"spec": {"report_id": report_id}} | changes)))
    assert reply.status == 422, reply.raw
    assert reply.fields[0].startswith(field), reply.raw
    assert world.items("tasks") == []
    assert world.items("jobs") == []


NEEDY = [{"name": "least", "type": "integer", "required": True}, {"name": "day", "type": "date"}]
NEEDY_SQL = [{"name": "q", "sql": "SELECT * FROM orders WHERE id >= :least"}]
WINDOWED_SQL = [{"name": "q", "sql": "SELECT * FROM orders WHERE at >= :window_start_local"}]


@pytest.mark.parametrize(
    ("changes", "in_spec", "fields"),
    [
        ({}, {}, ["parameters.least"]),
        ({"parameters": {"least": "x"}}, {}, ["parameters.least"]),
        ({"parameters": {"least": 1, "most": 2}}, {}, ["parameters.most"]),
        ({}, {"least": 1, "day": "today"}, ["spec.parameters.day"]),
        ({"enabled": False}, {"most": 1}, ["spec.parameters.most"]),
    ],
)
def test_a_task_with_invalid_parameters_is_refused_by_field(
    admin: Http, make: Make, world: World, changes: dict[str, Any], in_spec: dict[str, Any], fields: list[str]
) -> None:
    report_id = make.report(queries=NEEDY_SQL, parameters=NEEDY)["report_id"]
    reply = admin.post("/tasks", make.task_body(spec={"report_id": report_id, "parameters": in_spec}, **changes))
    assert (reply.status, reply.fields) == (422, fields), reply.raw
    assert world.items("tasks") == []


def test_what_a_task_lacks_may_come_with_the_start(admin: Http, make: Make, world: World) -> None:
    report_id = make.report(queries=NEEDY_SQL, parameters=NEEDY)["report_id"]
    path = f"/tasks/{make.task(spec={'report_id': report_id}, enabled=False)['task_id']}"
    wrong = [{}, {"least": None}, {"least": "x"}, {"least": 1, "most": 2}, {"least": 1, "scheduled_for": "x"}]
    replies = [admin.post(f"{path}/run", {"parameters": parameters}) for parameters in wrong]
    least = ["parameters.least"]
    assert [reply.fields for reply in replies] == [
        least,
        least,
        least,
        ["parameters.most"],
        ["parameters.scheduled_for"],
    ]
    assert {reply.status for reply in replies} == {422}
    assert world.items("jobs") == []
    assert admin.post(f"{path}/run", {"parameters": {"least": 5}}).json["parameters"] == {"least": 5}
    enabled = admin.post(f"{path}/enable")
    assert (enabled.status, enabled.fields) == (422, least)
    assert admin.patch(path, {"enabled": True, "parameters": {"least": 5}}).status == 200


def test_a_task_without_the_window_that_its_report_needs_is_refused(admin: Http, make: Make) -> None:
    spec = {"report_id": make.report(queries=WINDOWED_SQL)["report_id"]}
    reply = admin.post("/tasks", make.task_body(spec=spec))
    assert (reply.status, reply.fields) == (422, ["window"])
    assert "needs a window" in reply.json["Message"]
    path = f"/tasks/{make.task(spec=spec, window={'type': 'yesterday'})['task_id']}"
    assert admin.patch(path, {"window": None}).fields == ["window"]


def test_a_preview_without_the_window_that_it_needs_says_so(admin: Http, make: Make) -> None:
    report = make.report(queries=WINDOWED_SQL)
    reply = admin.post(f"/reports/{report['report_id']}/preview", {})
    assert reply.status == 422
    assert "needs a window" in reply.json["Message"]
    assert reply.fields[0] == "window"


def test_a_refused_edit_leaves_the_task_as_it_was(admin: Http, make: Make) -> None:
    task = make.task()
    path = f"/tasks/{task['task_id']}"
    bad = task["schedule"] | {"expression": "60 2 * * *"}
    assert admin.patch(path, {"schedule": bad}).status == 422
    assert admin.get(path).json | {"job_id": None} == task


def test_an_operator_starts_and_stops_but_does_not_edit(make: Make, world: World) -> None:
    task, operator = make.task(), as_role(Role.OPERATOR)
    path = f"/tasks/{task['task_id']}"
    assert operator.post(f"{path}/run").status == 201
    assert operator.post(f"{path}/disable").status == 200
    assert operator.patch(path, {"priority": 1}).status == 403
    assert operator.delete(path).status == 403


def test_edits_are_audited_from_old_to_new(admin: Http, make: Make) -> None:
    task = make.task()
    admin.patch(f"/tasks/{task['task_id']}", {"priority": 2000})
    entry = admin.get("/audit").json["items"][0]
    assert (entry["record_type"], entry["record_id"], entry["actor"]) == ("task", task["task_id"], "token:admin")
    assert entry["changes"] == {"priority": [1000, 2000]}


@pytest.mark.parametrize("slot", ["1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_a_slot_before_1970_is_refused(admin: Http, make: Make, slot: str) -> None:
    reply = admin.post(f"/tasks/{make.task()['task_id']}/run", {"scheduled_for": slot})
    assert (reply.status, reply.fields) == (422, ["scheduled_for"])


def test_a_pool_without_a_worker_is_refused_by_create_replace_and_patch(admin: Http, make: Make) -> None:
    task = make.task(pool="cloud")
    path = f"/tasks/{task['task_id']}"
    body = make.task_body(spec=task["spec"], pool="lab")
    for reply in (admin.patch(path, {"pool": "lab"}), admin.put(path, body), admin.post("/tasks", body)):
        assert (reply.status, reply.fields) == (422, ["pool"])
        assert "only the pool cloud exists" in reply.json["Message"].lower()


def test_a_now_task_answers_the_job_that_it_started(admin: Http, make: Make) -> None:
    started = make.task(schedule={"type": "now"})
    (job,) = admin.get("/jobs", task_id=started["task_id"]).json["items"]
    assert started["job_id"] == job["job_id"]
    off = make.task(name="Off", schedule={"type": "now"}, enabled=False)
    assert off["job_id"] is None
    assert make.task(name="Daily")["job_id"] is None

    path = f"/tasks/{off['task_id']}"
    assert admin.patch(path, {"description": "still off"}).json["job_id"] is None
    enabled = admin.post(f"{path}/enable", {}).json
    (job,) = admin.get("/jobs", task_id=off["task_id"]).json["items"]
    assert enabled["job_id"] == job["job_id"]
    assert admin.patch(path, {"description": "has run"}).json["job_id"] is None
    assert "job_id" not in admin.get(path).json


def test_rows_show_the_name_of_their_source(admin: Http, make: Make) -> None:
    source = make.source(name="Shop of Paris")
    report = make.report(source_id=source["source_id"])
    task = make.task(spec={"report_id": report["report_id"]})
    job = admin.post(f"/tasks/{task['task_id']}/run", {}).json
    for path, record in (
        ("/reports", f"/reports/{report['report_id']}"),
        ("/tasks", f"/tasks/{task['task_id']}"),
        ("/jobs", f"/jobs/{job['job_id']}"),
    ):
        (row,) = admin.get(path).json["items"]
        assert row["source_id"] == source["source_id"]
        assert row["source_name"] == admin.get(record).json["source_name"] == "Shop of Paris"
    assert {report["source_name"], task["source_name"], job["source_name"]} == {"Shop of Paris"}

    admin.patch(f"/sources/{source['source_id']}", {"name": "Shop of Lyon"})
    assert admin.get("/jobs").json["items"][0]["source_name"] == "Shop of Lyon"
