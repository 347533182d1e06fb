from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError
from chalice.test import Client

from app import app
from chalicelib.access.actor import Role
from chalicelib.clock import Clock
from chalicelib.paging import Page
from chalicelib.queue.claim import Worker
from chalicelib.store import task_names
from chalicelib.store.job_list_plan import JobFilter
from chalicelib.worker.worker import handle
from tests.support.api_records import ZONE, Make
from tests.support.http import Http, as_role
from tests.support.later_version import write_as_a_later_version
from tests.support.world import World


@pytest.fixture
def done(admin: Http, make: Make, world: World) -> dict[str, Any]:
    """A job that exported its file."""
    job = make.job()
    work(world)
    found = admin.get(f"/jobs/{job['job_id']}").json
    assert found["status"] == "succeeded", found
    return dict(found)


def work(world: World) -> None:
    """Let a worker take every message."""
    for message in world.messages():
        handle(json.dumps(message), worker=Worker("worker-1", datetime.now(UTC) + timedelta(minutes=10), Clock()))


def test_a_job_shows_every_field(done: dict[str, Any]) -> None:
    assert done["task_name"] == "Daily orders"
    assert done["rows"] == 24
    assert done["run_no"] == 1
    assert done["files"][0]["rows"] == 24
    assert done["started_at"] <= done["ended_at"]
    assert done["timezone"] == ZONE


def test_jobs_are_listed_by_time_task_and_status(admin: Http, make: Make, done: dict[str, Any]) -> None:
    waiting = make.job(name="Other")
    ids = lambda **query: [row["job_id"] for row in admin.get("/jobs", **query).json["items"]]  # noqa: E731
    assert ids() == [waiting["job_id"], done["job_id"]]
    assert ids(sort="created_at") == [done["job_id"], waiting["job_id"]]
    assert ids(task_id=done["task_id"]) == [done["job_id"]]
    assert ids(status=["waiting", "failed"]) == [waiting["job_id"]]
    assert ids(status="succeeded", kind="report_export", trigger="manual", pool="cloud") == [done["job_id"]]
    assert ids(created="week") == ids(created="month") == [waiting["job_id"], done["job_id"]]
    assert ids(created="yesterday") == []
    assert ids(created="today") == ids(created="week") != []
    assert ids(created_from=done["created_at"], created_to=waiting["created_at"]) == [done["job_id"]]
    assert ids(created_from=waiting["created_at"]) == [waiting["job_id"]]
    assert ids(operator="nobody") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=asleep", "status"),
        ("created=tomorrow", "created"),
        ("created=week&created_from=2026-01-01T00:00:00Z", "created"),
        ("created=yesterday&timezone=Mars/Base", "timezone"),
        ("created_from=2026-01-01", "created_from"),
        ("created_from=2026-01-01T00:00:00", "created_from"),  # no zone
        ("created_from=2026-02-01T00:00:00Z&created_to=2026-01-01T00:00:00Z", "created_from"),
        ("sort=priority", "sort"),
        ("task_id=a%20b", "task_id"),
        ("colour=red", "colour"),
        ("page=0", "page"),
        ("page_size=7", "page_size"),
        ("status=", "status"),
        *[
            (f"{name}=", name)
            for name in ("search", "kind", "group", "action", "operator", "reason", "trigger", "sort")
        ],
        *[(f"{name}=", name) for name in ("job_id", "task_id", "account_id", "source_id", "pool", "created_to")],
        ("search=%20%20", "search"),
        ("operator=a&operator=b", "operator"),
    ],
)
def test_an_invalid_filter_is_refused_by_name(admin: Http, query: str, field: str) -> None:
    reply = admin.send("GET", f"/jobs?{query}")
    assert (reply.status, reply.fields) == (422, [field]), reply.raw


def test_jobs_are_found_by_the_name_their_task_had_in_any_case(admin: Http, make: Make) -> None:
    first = make.job(name="Daily ORDERS 报表")
    path = f"/tasks/{first['task_id']}"
    renamed = admin.patch(path, {"name": "Straße (weekly)"})
    assert renamed.status == 200, renamed.raw
    second = admin.post(f"{path}/run", {}).json
    make.job(name="Another")
    found = lambda **query: [row["job_id"] for row in admin.get("/jobs", **query).json["items"]]  # noqa: E731
    assert found(search=" daily orders") == found(search="报") == [first["job_id"]]
    assert found(search="STRASSE (") == [second["job_id"]]
    assert found(search="%") == []
    assert admin.delete(path).status in (200, 204)
    assert found(search="报表") == [first["job_id"]]
    assert found(search="weekly", job_id=second["job_id"]) == [second["job_id"]]
    assert found(search="daily", job_id=second["job_id"]) == []


def test_a_name_is_registered_before_its_task_is_saved(
    admin: Http, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever dies in between, no job has a name that a search does not know."""
    task = make.task(name="Before")
    known: list[set[str]] = []

    def dying(task: Any, **_: Any) -> None:
        known.append(set(task_names.tasks_named(task.name.casefold(), limit=9)))
        raise ConnectionError("died")

    monkeypatch.setattr("chalicelib.store.tasks.overwrite", dying)
    assert admin.patch(f"/tasks/{task['task_id']}", {"name": "After"}).status == 500
    assert known == [{task["task_id"]}]
    assert set(task_names.tasks_named("before", limit=9)) == {task["task_id"]}


def test_a_preset_of_days_is_in_the_callers_zone(admin: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[JobFilter, datetime]] = []

    def listing(wanted: JobFilter, *, now: datetime, **_: Any) -> Page:
        asked.append((wanted, now))
        return Page([], 1, 20, 0)

    monkeypatch.setattr("chalicelib.jobs.listing.listing", listing)
    for timezone in ("UTC", "Asia/Shanghai", "America/Los_Angeles"):
        assert admin.get("/jobs", created="yesterday", timezone=timezone).status == 200
        wanted, now = asked.pop()
        local = now.astimezone(ZoneInfo(timezone))
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        assert wanted.created_to == midnight
        assert wanted.created_from == (midnight - timedelta(days=1)).replace(tzinfo=ZoneInfo(timezone))
        assert admin.get("/jobs", created="today", timezone=timezone).status == 200
        wanted, now = asked.pop()
        midnight = now.astimezone(ZoneInfo(timezone)).replace(hour=0, minute=0, second=0, microsecond=0)
        assert (wanted.created_from, wanted.created_to) == (midnight, None)
    assert admin.get("/jobs", created="week", timezone="Asia/Shanghai").status == 200
    wanted, _ = asked.pop()
    assert wanted.created_from is not None
    assert (wanted.created_from.astimezone(ZoneInfo("Asia/Shanghai")).hour, wanted.created_to) == (0, None)


def test_counts_are_exact(admin: Http, make: Make) -> None:
    for _ in range(3):
        make.job()
    found = admin.get("/jobs/counts").json
    assert (found["waiting"], found["running"]) == (3, 0)
    assert found["pools"] == [{"pool": "cloud", "kind": "report_export", "waiting": 3, "assigned": 0, "running": 0}]


def test_attempts_logs_and_files_of_a_job(admin: Http, done: dict[str, Any]) -> None:
    path = f"/jobs/{done['job_id']}"
    (run,) = admin.get(f"{path}/runs").json["items"]
    assert (run["run_no"], run["status"], run["rows"]) == (1, "succeeded", 24)
    logs = admin.get(f"{path}/logs").json
    assert [line["sequence"] for line in logs["items"]] == list(range(1, len(logs["items"]) + 1))
    assert logs["next_cursor"] is None
    first = admin.get(f"{path}/logs", limit=1).json
    rest = admin.get(f"{path}/logs", cursor=first["next_cursor"]).json
    assert first["items"] + rest["items"] == logs["items"]
    assert admin.get(f"{path}/logs", level="alert").json["items"] == []
    assert admin.get(f"{path}/logs", search="attempt").json["items"] != []
    assert admin.get(f"{path}/logs", run=9).json["Code"] == "RunNotFound"
    link = admin.get(f"{path}/logs/download", format="jsonl").json
    assert link["name"].endswith("-1-all.jsonl")
    assert admin.get(f"{path}/logs/download", run=9).json["Code"] == "RunNotFound"
    assert admin.get(f"{path}/files").json["items"] == done["files"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("runs?limit=0", "limit"),
        ("runs?limit=101", "limit"),
        ("logs?level=loud", "level"),
        ("logs?limit=0", "limit"),
        ("logs?run=-1", "run"),
        ("logs?cursor=here", "cursor"),
        ("logs?search=" + "x" * 201, "search"),
        ("logs/download?level=loud", "level"),
        ("logs/download?format=pdf", "format"),
        ("download?n=-1", "n"),
        ("download?redirect=maybe", "redirect"),
    ],
)
def test_an_invalid_query_for_part_of_a_job_is_refused_by_name(admin: Http, make: Make, path: str, field: str) -> None:
    reply = admin.send("GET", f"/jobs/{make.job()['job_id']}/{path}")
    assert (reply.status, reply.fields) == (422, [field]), reply.raw


def test_a_file_is_downloaded_and_is_what_its_manifest_says(admin: Http, world: World, done: dict[str, Any]) -> None:
    (link,) = admin.get(f"/jobs/{done['job_id']}/download").json["items"]
    content = world.objects()[unquote(urlsplit(link["url"]).path).lstrip("/").removeprefix(f"{world.bucket}/")]
    assert hashlib.sha256(content).hexdigest() == link["sha256"] == done["files"][0]["sha256"]
    assert len(content) == link["bytes"]
    assert len(content.splitlines()) == link["rows"] + 1


def test_a_download_may_redirect_and_the_link_is_never_logged(
    admin: Http, done: dict[str, Any], logged: Callable[[], list[dict[str, Any]]]
) -> None:
    logged()
    reply = admin.get(f"/jobs/{done['job_id']}/download", redirect=1)
    assert (reply.status, reply.raw) == (302, b"")
    signature = parse_qs(urlsplit(reply.headers["Location"]).query)
    assert "X-Amz-Signature" in signature
    assert signature["X-Amz-Expires"] == ["300"]
    assert "X-Amz-Signature" not in json.dumps(logged())


def test_a_redirect_to_one_of_several_files_needs_the_choice(
    admin: Http, world: World, make: Make, done: dict[str, Any]
) -> None:
    queries = [{"name": name, "sql": "SELECT 1 AS one"} for name in ("first", "second")]
    report = make.report(source_id=done["source_id"], queries=queries)
    path = f"/jobs/{make.job(name='Two', spec={'report_id': report['report_id']})['job_id']}/download"
    work(world)
    names = [each["name"] for each in admin.get(path).json["items"]]

    refused = admin.get(path, redirect=1)

    assert (refused.status, refused.fields) == (422, ["n"])
    assert f"0: {names[0]}, 1: {names[1]}" in refused.json["Message"]
    assert names[1] in admin.get(path, redirect=1, n=1).headers["Location"]
    assert admin.get(path, redirect=1, n=2).status == 404


def test_a_job_without_a_file_says_so(admin: Http, make: Make) -> None:
    path = f"/jobs/{make.job()['job_id']}"
    assert admin.get(f"{path}/files").json == {"items": []}
    reply = admin.get(f"{path}/download")
    assert (reply.status, reply.json["Code"]) == (404, "FileNotAvailable")


def test_a_waiting_job_is_cancelled_rerun_and_deleted(admin: Http, make: Make) -> None:
    path = f"/jobs/{make.job()['job_id']}"
    cancelled = admin.post(f"{path}/cancel").json
    assert (cancelled["status"], cancelled["reason"]) == ("canceled", "by_user")
    assert admin.post(f"{path}/cancel").json["Code"] == "WrongState"
    assert admin.post(f"{path}/rerun").json["status"] == "waiting"
    assert admin.post(f"{path}/rerun").json["Code"] == "WrongState"
    assert admin.delete(path).json["Code"] == "WrongState"
    admin.post(f"{path}/cancel")
    assert admin.delete(path).status == 204
    assert admin.get(path).json["Code"] == "JobNotFound"


def test_a_priority_is_changed_while_the_job_waits(admin: Http, make: Make) -> None:
    path = f"/jobs/{make.job()['job_id']}"
    assert admin.patch(path, {"priority": 5000}).json["priority"] == 5000
    for body in ({}, {"priority": 5001}, {"priority": "1"}, {"priority": None}):
        assert admin.patch(path, body).fields == ["priority"]
    assert admin.patch(path, {"status": "succeeded", "priority": 1}).fields == ["status"]


def test_a_viewer_reads_and_changes_nothing(make: Make, done: dict[str, Any]) -> None:
    viewer, path = as_role(Role.VIEWER), f"/jobs/{done['job_id']}"
    for part in ("", "/runs", "/logs", "/files", "/download"):
        assert viewer.get(path + part).status == 200
    assert viewer.post(f"{path}/rerun").status == 403
    assert viewer.delete(path).status == 403


def test_a_failed_job_says_why(admin: Http, make: Make, world: World) -> None:
    report = make.report(queries=[{"name": "bad", "sql": "SELECT no_such_column FROM orders"}])
    job = make.job(spec={"report_id": report["report_id"]})
    work(world)
    found = admin.get(f"/jobs/{job['job_id']}").json
    assert (found["status"], found["reason"]) == ("failed", "error")
    assert "no_such_column" in found["error"]
    assert found["files"] == []
    (line,) = admin.get(f"/jobs/{job['job_id']}/logs", level="ERROR").json["items"]
    assert "no_such_column" in line["message"]


# --- the functions that AWS starts ------------------------------------------------------------------------------------


class Context:
    aws_request_id = "invocation-1"

    def get_remaining_time_in_millis(self) -> int:
        return 600_000


def test_the_work_function_takes_a_message(admin: Http, make: Make, world: World) -> None:
    job = make.job()
    records = [
        {"messageId": f"m-{number}", "body": json.dumps(body), "receiptHandle": "r", "eventSource": "aws:sqs"}
        for number, body in enumerate(world.messages())
    ]
    answer = app.handler_map["work"]({"Records": records}, Context())
    assert answer == {"batchItemFailures": []}
    assert admin.get(f"/jobs/{job['job_id']}").json["status"] == "succeeded"


def test_a_message_without_a_token_fails(world: World) -> None:
    records = [{"messageId": "m-1", "body": "hello", "receiptHandle": "r", "eventSource": "aws:sqs"}]
    with pytest.raises(ValueError, match="not a token"):
        app.handler_map["work"]({"Records": records}, Context())


def test_tick_and_sweep_run(world: World) -> None:
    event = Client(app).events.generate_cw_event("aws.events", "Scheduled Event", {}, [])
    for name in ("tick", "sweep"):
        assert app.handler_map[name](event, Context()) is None


def test_fire_starts_a_task_once_per_event(admin: Http, make: Make) -> None:
    task = make.task()
    event = {"task": "Daily orders", "event_id": "e-1", "scheduled_for": "2026-03-01T00:00:00Z"}
    first, second = (app.handler_map["fire"](event, Context()) for _ in range(2))
    assert first == second
    job = admin.get(f"/jobs/{first['job_id']}").json
    assert (job["task_id"], job["trigger"]) == (task["task_id"], "event")


# --- services that fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "shown"),
    [
        ("ThrottlingException", 503, "Unavailable"),
        ("ProvisionedThroughputExceededException", 503, "Unavailable"),
        ("AccessDeniedException", 500, "InternalError"),
        ("ResourceNotFoundException", 500, "InternalError"),
    ],
)
def test_a_service_that_fails_is_told_without_detail(
    admin: Http, monkeypatch: pytest.MonkeyPatch, code: str, status: int, shown: str
) -> None:
    def failing(*args: Any, **named: Any) -> Any:
        detail = "User: arn:aws:iam::123456789012:role/carillon is not authorized"
        raise ClientError({"Error": {"Code": code, "Message": detail}}, "Query")

    monkeypatch.setattr("chalicelib.jobs.listing.listing", failing)
    reply = admin.get("/jobs")
    assert (reply.status, reply.json["Code"]) == (status, shown)
    assert b"arn:aws" not in reply.raw
    assert ("Retry-After" in reply.headers) == (status == 503)


def test_a_job_that_this_version_cannot_read_keeps_no_other_from_the_list(
    admin: Http, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """A later version wrote it, and was taken back."""
    made = [make.job()["job_id"] for _ in range(5)]
    unreadable = write_as_a_later_version(made[2])
    for query in ({}, {"status": "waiting"}, {"kind": "report_export"}):
        shown = admin.get("/jobs", **query)
        assert (shown.status, {each["job_id"] for each in shown.json["items"]}) == (200, {*made} - {unreadable})
    assert admin.get(f"/jobs/{made[4]}").status == 200
    assert f'"job cannot be read","job_id":"{unreadable}"' in capsys.readouterr().out
