"""Sources, reports and calendars through HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.access.actor import Role
from chalicelib.aws import secrets
from tests.support.api_records import Make
from tests.support.certificates import authority
from tests.support.http import Http, as_role
from tests.support.world import World

PASSWORD = "hunter2-secret"


def secret_names(world: World) -> list[str]:
    return [item["Name"] for item in world.client("secretsmanager").list_secrets()["SecretList"]]


# --- sources ----------------------------------------------------------------------------------------------------------


def test_a_source_is_made_read_listed_replaced_and_deleted(admin: Http, make: Make) -> None:
    source = make.source()
    path = f"/sources/{source['source_id']}"
    assert source["has_secret"] is False
    assert admin.get(path).json == source
    assert admin.get("/sources").json["items"] == [source]
    replaced = admin.put(path, make.source_body(name="Shop 2")).json
    assert (replaced["name"], replaced["revision"]) == ("Shop 2", 2)
    assert admin.delete(path).status == 204
    assert admin.get(path).json["Code"] == "SourceNotFound"


def test_a_password_goes_to_secrets_manager_and_nowhere_else(
    admin: Http, make: Make, world: World, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    source = make.source(**make.postgres_body())
    path = f"/sources/{source['source_id']}"
    answers = [admin.get(path), admin.get("/sources"), admin.get("/audit"), admin.post(f"{path}/test")]
    answers += [admin.put(path, make.postgres_body(name="x")), admin.put(path, {"password": PASSWORD})]
    answers.append(admin.delete(path))
    assert secrets.get(secrets.source_name(source["source_id"]), None) == {}
    assert source["has_secret"] is True
    for answer in answers:
        assert PASSWORD not in answer.raw.decode()
    for table in ("sources", "audit", "requests"):
        assert PASSWORD not in json.dumps(world.items(table), default=str)
    assert PASSWORD not in json.dumps(logged())


def test_the_audit_shows_that_a_password_changed_and_not_which(admin: Http, make: Make) -> None:
    make.source(**make.postgres_body())
    assert admin.get("/audit").json["items"][0]["changes"]["password"] == [None, "***"]


@pytest.mark.parametrize(
    "changed",
    [
        {"host": "evil.example"},
        {"port": 2},
        {"database": "other"},
        {"user": "root"},
        {"sslmode": "disable"},
        {"ca_certificate": authority().certificate},
    ],
)
def test_a_kept_password_is_not_sent_to_another_address(admin: Http, make: Make, changed: dict[str, Any]) -> None:
    source = make.source(**make.postgres_body())
    body = make.postgres_body()
    del body["password"]
    reply = admin.put(f"/sources/{source['source_id']}", body | {"settings": body["settings"] | changed})
    assert (reply.status, reply.fields) == (422, ["password"])


def test_deleting_a_source_deletes_its_password(admin: Http, make: Make, world: World) -> None:
    source = make.source(**make.postgres_body())
    assert len(secret_names(world)) == 1
    admin.delete(f"/sources/{source['source_id']}")
    assert secret_names(world) == []


def test_a_source_in_use_is_not_deleted(admin: Http, make: Make) -> None:
    report = make.report(name="Orders by day")
    path = f"/sources/{report['source_id']}"
    reply = admin.delete(path)
    assert (reply.status, reply.json["Code"]) == (409, "StillReferenced")
    assert "Orders by day" in reply.json["Message"]
    admin.delete(f"/reports/{report['report_id']}")
    assert admin.delete(path).status == 204


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": None}, "name"),
        ({"name": " "}, "name"),
        ({"kind": "oracle"}, "kind"),
        ({"kind": None}, "kind"),
        ({"settings": {}}, "settings.path"),
        ({"settings": {"path": "../etc/passwd"}}, "settings.path"),
        ({"settings": {"path": "/etc/passwd"}}, "settings.path"),
        ({"settings": {"path": "shop.db", "password": "x"}}, "settings.password"),
        ({"settings": "shop.db"}, "settings"),
        ({"kind": "postgres", "settings": {"host": "db", "database": "d", "user": "u", "port": 0}}, "settings.port"),
        ({"kind": "postgres", "settings": {"host": "db", "database": "d", "user": "u", "port": "54"}}, "settings.port"),
        ({"name": "a\x1bb"}, "name"),
        ({"password": ""}, "password"),
        ({"password": 5}, "password"),
    ],
)
def test_an_invalid_source_is_refused_by_field_and_leaves_nothing(
    admin: Http, make: Make, world: World, changes: dict[str, Any], field: str
) -> None:
    reply = admin.post("/sources", make.source_body(**changes))
    assert (reply.status, reply.fields[:1]) == (422, [field]), reply.raw
    assert world.items("sources") == []
    assert secret_names(world) == []


def test_a_source_is_tested(admin: Http, make: Make) -> None:
    tested = admin.post(f"/sources/{make.source()['source_id']}/test").json
    assert tested["reachable"] is True
    assert tested["product"] == "SQLite"
    assert tested["read_only"] is True


def test_a_source_that_is_down_says_so(admin: Http, make: Make) -> None:
    source = make.source(**make.postgres_body())
    reply = admin.post(f"/sources/{source['source_id']}/test")
    assert (reply.status, reply.json["Code"], reply.fields) == (422, "SourceUnreachable", ["settings"])


def test_a_source_whose_file_is_gone_says_so(admin: Http, make: Make) -> None:
    source = make.source(settings={"path": "gone.db"})
    reply = admin.post(f"/sources/{source['source_id']}/test")
    assert (reply.status, reply.json["Code"]) == (422, "SourceUnreachable")


def test_only_an_administrator_touches_sources(make: Make, world: World) -> None:
    editor = as_role(Role.EDITOR)
    assert editor.post("/sources", make.source_body()).status == 403
    assert editor.get("/sources").status == 200


# --- reports ----------------------------------------------------------------------------------------------------------


def test_a_report_is_made_read_listed_replaced_and_deleted(admin: Http, make: Make) -> None:
    report = make.report()
    path = f"/reports/{report['report_id']}"
    assert admin.get(path).json == report
    assert admin.get("/reports", search="ORD").json["items"] == [report]
    assert admin.get("/reports", search="nothing").json["total"] == 0
    body = make.report_body(name="Orders 2", source_id=report["source_id"])
    assert admin.put(path, body).json["revision"] == 2
    assert admin.delete(path).status == 204
    assert admin.get(path).json["Code"] == "ReportNotFound"


Q = {"name": "q", "sql": "SELECT 1 AS one"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"source_id": "no-such"}, "source_id"),
        ({"source_id": "no such"}, "source_id"),
        ({"queries": []}, "queries"),
        ({"queries": [Q, Q]}, "queries.1.name"),
        ({"queries": [Q | {"sql": ""}]}, "queries.0.sql"),
        ({"queries": [Q | {"sql": "DELETE FROM orders"}]}, "queries.0.sql"),
        ({"queries": [Q | {"sql": "SELECT 1; SELECT 2"}]}, "queries.0.sql"),
        ({"queries": [Q | {"sql": "SELECT 'open"}]}, "queries.0.sql"),
        ({"queries": [Q | {"sql": "SELECT :nobody"}]}, "queries.0.sql"),
        ({"queries": [Q | {"rows": 5}]}, "queries.0.rows"),
        ({"queries": [Q | {"key": []}]}, "queries.0.key"),
        ({"parameters": [{"name": "1st"}]}, "parameters.0.name"),
        ({"parameters": [{"name": "a"}, {"name": "a"}]}, "parameters.1.name"),
        ({"parameters": [{"name": "window_start"}]}, "parameters.0.name"),
        ({"parameters": [{"name": "a", "type": "blob"}]}, "parameters.0.type"),
        ({"description": "x" * 4_001}, "description"),
    ],
)
def test_an_invalid_report_is_refused_by_field(
    admin: Http, make: Make, world: World, changes: dict[str, Any], field: str
) -> None:
    reply = admin.post("/reports", make.report_body(**changes))
    assert (reply.status, reply.fields) == (422, [field]), reply.raw
    assert world.items("reports") == []


def test_an_answer_names_all_problems_of_a_report(admin: Http, make: Make) -> None:
    body = make.report_body(queries=[Q | {"sql": "DROP TABLE orders"}, Q], parameters=[{"name": "window_end"}])
    assert sorted(admin.post("/reports", body).fields) == ["parameters.0.name", "queries.0.sql", "queries.1.name"]


def test_a_report_in_use_is_not_deleted(admin: Http, make: Make) -> None:
    task = make.task()
    path = f"/reports/{task['spec']['report_id']}"
    reply = admin.delete(path)
    assert (reply.status, reply.json["Code"]) == (409, "StillReferenced")
    assert task["name"] in reply.json["Message"]
    admin.delete(f"/tasks/{task['task_id']}")
    assert admin.delete(path).status == 204


def test_a_preview_shows_the_first_rows_with_their_parameters(admin: Http, make: Make) -> None:
    report = make.report(
        queries=[{"name": "orders", "sql": "SELECT id, customer FROM orders WHERE id >= :least ORDER BY id"}],
        parameters=[{"name": "least", "type": "integer", "default": 0}],
    )
    path = f"/reports/{report['report_id']}/preview"
    shown = admin.post(path, {"parameters": {"least": 20}, "limit": 3}).json
    assert [column["name"] for column in shown["columns"]] == ["id", "customer"]
    assert shown["rows"] == [["20", None], ["21", "张伟"], ["22", None]]
    assert shown["more"] is True
    assert admin.post(path, {"limit": 1}).json["rows"] == [["0", None]]


def test_a_preview_sees_the_window_of_a_slot(admin: Http, make: Make) -> None:
    sql = "SELECT count(*) AS n FROM orders WHERE at >= :window_start AND at < :window_end"
    report = make.report(queries=[{"name": "n", "sql": sql}])
    shown = admin.post(
        f"/reports/{report['report_id']}/preview",
        {"window": {"type": "yesterday"}, "scheduled_for": "2026-03-02T02:00:00Z", "timezone": "Etc/GMT-6"},
    ).json
    assert (shown["window_start"], shown["window_end"]) == ("2026-02-28T18:00:00Z", "2026-03-01T18:00:00Z")
    assert shown["rows"] == [["18"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": "no such"}, "query"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"parameters": {"other": 1}}, "parameters.other"),
        ({"parameters": {"least": "many"}}, "parameters.least"),
        ({"parameters": {"least": [1]}}, "parameters.least"),
        ({}, "parameters.least"),  # required
        ({"parameters": {"least": 1}, "timezone": "Mars/Base"}, "timezone"),
        ({"parameters": {"least": 1}, "window": {"type": "tomorrow"}}, "window.type"),
        ({"parameters": {"least": 1}, "window": {"type": "since_previous_fire"}}, "window.type"),
    ],
)
def test_an_invalid_preview_is_refused_by_field(admin: Http, make: Make, body: dict[str, Any], field: str) -> None:
    report = make.report(
        queries=[Q | {"sql": "SELECT :least AS least"}],
        parameters=[{"name": "least", "type": "integer", "required": True}],
    )
    reply = admin.post(f"/reports/{report['report_id']}/preview", body)
    assert reply.status == 422, reply.raw
    assert reply.fields[0].startswith(field)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT no_such_column FROM orders",
        "SELECT 1 AS a, 2 AS a",  # two columns of one name
        "WITH x AS (SELECT 1) SELECT * FROM no_such_table",
    ],
)
def test_sql_that_fails_says_so_at_the_query(admin: Http, make: Make, sql: str) -> None:
    report = make.report(queries=[Q, {"name": "bad", "sql": sql}])
    reply = admin.post(f"/reports/{report['report_id']}/preview", {"query": "bad"})
    assert (reply.status, reply.json["Code"], reply.fields) == (422, "QueryFailed", ["queries.1.sql"]), reply.raw


# --- calendars --------------------------------------------------------------------------------------------------------

CALENDAR = {"name": "China 2026", "country": "CN", "days": {"2026-10-01": "off", "2026-10-10": "workday"}}


def test_a_calendar_is_made_replaced_and_deleted_unless_in_use(admin: Http, make: Make) -> None:
    calendar = admin.post("/calendars", CALENDAR).json
    path = f"/calendars/{calendar['calendar_id']}"
    assert admin.get(path).json == calendar
    assert admin.put(path, CALENDAR | {"name": "China"}).json["revision"] == 2
    schedule = {"type": "calendar", "every": 1, "unit": "day", "at": "02:00", "calendar": calendar["calendar_id"]}
    task = make.task(schedule=schedule | {"on_non_business": "skip"})
    assert admin.delete(path).json["Code"] == "StillReferenced"
    admin.delete(f"/tasks/{task['task_id']}")
    assert admin.delete(path).status == 204
    assert admin.get(path).status == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"days": {"2026-02-30": "off"}}, "days.2026-02-30"),
        ({"days": {"2026-10-01": "holiday"}}, "days.2026-10-01"),
        ({"days": None}, "days"),
        ({"covers_from": "2027-01-01", "covers_to": "2026-01-01"}, "covers_to"),
        ({"covers_from": "yesterday"}, "covers_from"),
    ],
)
def test_an_invalid_calendar_is_refused_by_field(admin: Http, changes: dict[str, Any], field: str) -> None:
    reply = admin.post("/calendars", CALENDAR | changes)
    assert (reply.status, reply.fields) == (422, [field]), reply.raw


# --- two edits at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["source", "report", "task"])
def test_the_second_of_two_edits_is_refused(admin: Http, make: Make, kind: str) -> None:
    record = getattr(make, kind)()
    path = f"/{kind}s/{record[f'{kind}_id']}"
    etag = admin.get(path).headers["ETag"]
    assert etag == '"1"'
    body = {
        "source": lambda: make.source_body(name="mine"),
        "report": lambda: make.report_body(name="mine", source_id=record["source_id"]),
        "task": lambda: make.task_body(name="mine", spec=record["spec"]),
    }[kind]()
    mine = admin.put(path, body, etag=etag)
    assert (mine.status, mine.headers["ETag"]) == (200, '"2"'), mine.raw
    theirs = admin.put(path, body | {"name": "theirs"}, etag=etag)
    assert (theirs.status, theirs.json["Code"]) == (412, "StaleRevision")
    assert admin.delete(path, etag=etag).status == 412
    assert admin.get(path).json["name"] == "mine"
    assert admin.put(path, body, etag='W/"2"').status == 200
    assert admin.put(path, body, etag="*").status == 200
    assert admin.put(path, body, etag="tuesday").fields == ["If-Match"]
    assert admin.delete(path).status == 204


def test_an_edit_between_reading_and_writing_is_not_lost(
    admin: Http, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chalicelib.store import catalogue as store

    report = make.report()
    path, read = f"/reports/{report['report_id']}", store.get
    raced: list[int] = []

    def slow_get(model: Any, record_id: str) -> Any:
        record = read(model, record_id)
        if model is store.ReportRecord and not raced:
            raced.append(1)
            other = read(model, record_id)
            store.overwrite(other, {"name": "theirs"}, revision=int(other.revision))
        return record

    monkeypatch.setattr(store, "get", slow_get)
    body = make.report_body(name="mine", source_id=report["source_id"])
    assert admin.put(path, body).status == 412
    assert admin.get(path).json["name"] == "theirs"
