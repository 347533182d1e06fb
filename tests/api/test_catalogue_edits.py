"""PATCH of sources, reports and calendars, and edits of a report that would break its tasks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.test_audit import CALENDAR
from tests.support.api_records import Make
from tests.support.http import Http


@pytest.fixture
def records(admin: Http, make: Make) -> dict[str, dict[str, Any]]:
    """A record of each kind, by its path."""
    made = [
        ("sources", make.source(**make.postgres_body(description="old", max_concurrency=3)), "source_id"),
        ("reports", make.report(description="old"), "report_id"),
        ("calendars", admin.post("/calendars", CALENDAR | {"description": "old"}).json, "calendar_id"),
    ]
    return {f"/{what}/{record[key]}": record for what, record, key in made}


def test_a_patch_changes_what_it_names_and_nothing_else(admin: Http, records: dict[str, dict[str, Any]]) -> None:
    for path, before in records.items():
        reply = admin.patch(path, {"name": "Other"})

        changed = {name: value for name, value in reply.json.items() if value != before[name]}
        assert reply.status == 200, reply.raw
        assert changed.keys() <= {"name", "revision", "updated_at"}
        assert (changed["name"], changed["revision"]) == ("Other", 2)
        assert reply.headers["ETag"] == '"2"'
        assert admin.get(path).json == reply.json


def test_a_patch_of_a_stale_revision_changes_nothing(admin: Http, records: dict[str, dict[str, Any]]) -> None:
    for path in records:
        assert admin.patch(path, {"name": "Other"}, etag='"1"').status == 200
        assert admin.patch(path, {"name": "Third"}, etag='"1"').status == 412
        assert admin.get(path).json["name"] == "Other"


def test_null_clears_an_optional_field_and_is_refused_for_any_other(
    admin: Http, records: dict[str, dict[str, Any]]
) -> None:
    for path in records:
        reply = admin.patch(path, {"name": None})
        assert (reply.status, reply.fields) == (422, ["name"])
    (source, _, calendar) = records
    assert admin.patch(source, {"max_concurrency": None}).json["max_concurrency"] is None
    assert admin.patch(calendar, {"country": "DE"}).json["country"] == "DE"
    assert admin.patch(calendar, {"country": None}).json["country"] is None


def test_a_patch_is_checked_as_a_whole(admin: Http, records: dict[str, dict[str, Any]]) -> None:
    source, report, calendar = records
    for path, changes, field in (
        (source, {"settings": {"host": "x"}}, "settings.database"),
        (report, {"queries": [{"name": "q", "sql": "SELECT :p"}]}, "queries.0.sql"),
        (calendar, {"covers_from": "2027-01-01", "covers_to": "2026-01-01"}, "covers_to"),
    ):
        reply = admin.patch(path, changes)
        assert (reply.status, reply.fields[0]) == (422, field), reply.raw


def test_a_password_that_a_patch_leaves_out_stays_unless_the_address_changes(admin: Http, make: Make) -> None:
    body = make.postgres_body()
    path = f"/sources/{make.source(**body)['source_id']}"
    assert admin.patch(path, {"name": "Other"}).json["has_secret"] is True
    moved = admin.patch(path, {"settings": {**body["settings"], "database": "other", "host": "127.0.0.2"}})
    assert (moved.status, moved.fields) == (422, ["password"])
    assert admin.patch(path, {"password": None}).json["has_secret"] is False


# --- edits that break tasks ---

REGION: dict[str, Any] = {"name": "region", "type": "string", "required": True}


def with_region(make: Make, **changes: Any) -> dict[str, Any]:
    queries = [{"name": "orders", "sql": "SELECT id FROM orders WHERE customer = :region"}]
    return make.report_body(queries=queries, parameters=[REGION]) | changes


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_edit_that_breaks_tasks_names_them(admin: Http, make: Make, method: str) -> None:
    report = make.report()
    task = make.task(name="Daily", spec={"report_id": report["report_id"]})
    make.task(name="Off", spec={"report_id": report["report_id"]}, enabled=False)
    make.task(name="Of another report")
    path = f"/reports/{report['report_id']}"
    body = with_region(make)
    changes = body if method == "PUT" else {name: body[name] for name in ("queries", "parameters")}

    refused = admin.send(method, path, changes)

    assert (refused.status, refused.json["Code"], refused.fields) == (409, "BreaksTasks", [f"tasks.{task['task_id']}"])
    assert "'Daily'" in refused.json["Message"]
    assert "region" in refused.json["Message"]
    assert admin.get(path).json["revision"] == 1
    forced = admin.send(method, f"{path}?force=true", changes)
    assert (forced.status, forced.json["revision"]) == (200, 2)


def test_a_task_that_fails_already_blocks_no_edit(admin: Http, make: Make) -> None:
    report = make.report()
    make.task(spec={"report_id": report["report_id"]})
    path = f"/reports/{report['report_id']}"
    assert admin.send("PUT", f"{path}?force=true", with_region(make)).status == 200

    assert admin.patch(path, {"description": "still asks for the region"}).status == 200


def test_a_parameter_that_tasks_give_is_not_taken_away(admin: Http, make: Make) -> None:
    report = make._post("/reports", with_region(make))
    make.task(name="Paris", spec={"report_id": report["report_id"]}, parameters={"region": "Paris"})

    refused = admin.put(f"/reports/{report['report_id']}", make.report_body())

    assert (refused.status, refused.json["Code"]) == (409, "BreaksTasks")


def test_an_edit_that_breaks_many_tasks_counts_them(admin: Http, make: Make) -> None:
    report = make.report()
    for name in "ABCDE":
        make.task(name=name, spec={"report_id": report["report_id"]})

    refused = admin.put(f"/reports/{report['report_id']}", with_region(make))

    assert len(refused.json["Errors"]) == 5
    assert "Jobs of 5 tasks would fail" in refused.json["Message"]
    assert "And 2 more." in refused.json["Message"]
