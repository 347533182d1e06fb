"""The audit: every change leaves an entry, none of them tells a secret, and any of them can be found again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.access import audit
from chalicelib.access.actor import Actor, Role
from chalicelib.api.blueprint import SAFE
from chalicelib.api.roles import ROLES
from chalicelib.store.base import client as dynamodb
from tests.support.api_records import Make
from tests.support.http import Http, Reply, a_token, as_role
from tests.support.world import World

SECRET = "hunter2-secret"
# Routes that are no GET and change no record.
CHANGING_NOTHING = {
    ("POST", "/schedules/preview"): "computes",
    ("POST", "/reports/{report_id}/preview"): "reads a source",
    ("POST", "/sources/{source_id}/test"): "reads a source",
}


class Changes:
    """One call for each route that changes something, and the id of the record that it is about."""

    def __init__(self, make: Make) -> None:
        self.make, self.http = make, make.admin

    def _path(self, path: str, record: dict[str, Any], name: str) -> tuple[str, str]:
        return path.replace("{" + name + "}", record[name]), record[name]

    def made_by(self, path: str, body: dict[str, Any], name: str) -> tuple[Reply, str]:
        reply = self.http.post(path, body)
        return reply, reply.json[name]

    def on(self, method: str, path: str, record: dict[str, Any], name: str, body: Any = None) -> tuple[Reply, str]:
        at, record_id = self._path(path, record, name)
        return self.http.send(method, at, body), record_id

    def ended_job(self) -> dict[str, Any]:
        job = self.make.job()
        found: dict[str, Any] = self.http.post(f"/jobs/{job['job_id']}/cancel").json
        return found

    def token(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.post("/tokens", {"name": "t", "role": "viewer"}).json
        return found

    def calendar(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.post("/calendars", CALENDAR).json
        return found

    def batch(self, **changes: Any) -> dict[str, Any]:
        body = {"action": "cancel", "job_ids": [self.make.job()["job_id"]]}
        found: dict[str, Any] = self.http.post("/jobs/batch", body | changes).json
        return found


CALENDAR: dict[str, Any] = {"name": "Days off", "days": {"2026-12-25": "off"}}
Change = Callable[[Changes, Make], tuple[Reply, str]]
CHANGES: dict[tuple[str, str], Change] = {
    ("POST", "/tasks"): lambda do, make: do.made_by("/tasks", make.task_body(), "task_id"),
    ("PUT", "/tasks/{task_id}"): lambda do, make: do.on(
        "PUT", "/tasks/{task_id}", make.task(), "task_id", make.task_body(name="Other")
    ),
    ("PATCH", "/tasks/{task_id}"): lambda do, make: do.on(
        "PATCH", "/tasks/{task_id}", make.task(), "task_id", {"name": "Other"}
    ),
    ("DELETE", "/tasks/{task_id}"): lambda do, make: do.on("DELETE", "/tasks/{task_id}", make.task(), "task_id"),
    ("POST", "/tasks/{task_id}/run"): lambda do, make: do.on(
        "POST", "/tasks/{task_id}/run", make.task(), "task_id", {}
    ),
    ("POST", "/tasks/{task_id}/enable"): lambda do, make: do.on(
        "POST", "/tasks/{task_id}/enable", make.task(enabled=False), "task_id", {}
    ),
    ("POST", "/tasks/{task_id}/disable"): lambda do, make: do.on(
        "POST", "/tasks/{task_id}/disable", make.task(), "task_id", {}
    ),
    ("PATCH", "/jobs/{job_id}"): lambda do, make: do.on(
        "PATCH", "/jobs/{job_id}", make.job(), "job_id", {"priority": 7}
    ),
    ("DELETE", "/jobs/{job_id}"): lambda do, make: do.on("DELETE", "/jobs/{job_id}", do.ended_job(), "job_id"),
    ("POST", "/jobs/{job_id}/cancel"): lambda do, make: do.on("POST", "/jobs/{job_id}/cancel", make.job(), "job_id"),
    ("POST", "/jobs/{job_id}/rerun"): lambda do, make: do.on("POST", "/jobs/{job_id}/rerun", do.ended_job(), "job_id"),
    ("POST", "/jobs/batch"): lambda do, make: do.made_by(
        "/jobs/batch", {"action": "cancel", "job_ids": [make.job()["job_id"]]}, "batch_id"
    ),
    ("POST", "/batches/{batch_id}/cancel"): lambda do, make: do.on(
        "POST", "/batches/{batch_id}/cancel", do.batch(), "batch_id"
    ),
    ("PATCH", "/pools/{pool_id}"): lambda do, make: do.on(
        "PATCH", "/pools/{pool_id}", {"pool_id": "cloud"}, "pool_id", {"paused": True}
    ),
    ("POST", "/reports"): lambda do, make: do.made_by("/reports", make.report_body(), "report_id"),
    ("PUT", "/reports/{report_id}"): lambda do, make: do.on(
        "PUT", "/reports/{report_id}", make.report(), "report_id", make.report_body(name="Other")
    ),
    ("PATCH", "/reports/{report_id}"): lambda do, make: do.on(
        "PATCH", "/reports/{report_id}", make.report(), "report_id", {"name": "Other"}
    ),
    ("DELETE", "/reports/{report_id}"): lambda do, make: do.on(
        "DELETE", "/reports/{report_id}", make.report(), "report_id"
    ),
    ("POST", "/sources"): lambda do, make: do.made_by("/sources", make.postgres_body(), "source_id"),
    ("PUT", "/sources/{source_id}"): lambda do, make: do.on(
        "PUT",
        "/sources/{source_id}",
        make.source(**make.postgres_body()),
        "source_id",
        make.postgres_body(name="Other", password="another-" + SECRET),
    ),
    ("PATCH", "/sources/{source_id}"): lambda do, make: do.on(
        "PATCH",
        "/sources/{source_id}",
        make.source(**make.postgres_body()),
        "source_id",
        {"password": "another-" + SECRET},
    ),
    ("DELETE", "/sources/{source_id}"): lambda do, make: do.on(
        "DELETE", "/sources/{source_id}", make.source(**make.postgres_body()), "source_id"
    ),
    ("POST", "/calendars"): lambda do, make: do.made_by("/calendars", CALENDAR, "calendar_id"),
    ("PUT", "/calendars/{calendar_id}"): lambda do, make: do.on(
        "PUT", "/calendars/{calendar_id}", do.calendar(), "calendar_id", CALENDAR | {"name": "Other"}
    ),
    ("PATCH", "/calendars/{calendar_id}"): lambda do, make: do.on(
        "PATCH", "/calendars/{calendar_id}", do.calendar(), "calendar_id", {"name": "Other"}
    ),
    ("DELETE", "/calendars/{calendar_id}"): lambda do, make: do.on(
        "DELETE", "/calendars/{calendar_id}", do.calendar(), "calendar_id"
    ),
    ("POST", "/tokens"): lambda do, make: do.made_by("/tokens", {"name": "t", "role": "viewer"}, "token_id"),
    ("DELETE", "/tokens/{token_id}"): lambda do, make: do.on("DELETE", "/tokens/{token_id}", do.token(), "token_id"),
}


def test_every_route_that_changes_something_is_tried_here() -> None:
    changing = {route for route in ROLES if route[0] not in SAFE}
    assert changing <= CHANGES.keys() | CHANGING_NOTHING.keys()


@pytest.mark.slow
def test_every_change_leaves_an_entry_by_whom_on_which_record_without_a_secret(
    make: Make, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    do = Changes(make)
    tokens = [a_token(), make.admin.authorization]
    for route, change in CHANGES.items():
        if route not in ROLES:
            continue
        reply, record_id = change(do, make)
        assert reply.status < 300, (route, reply.raw)
        found = make.admin.get("/audit", record_id=record_id).json
        entry = found["items"][0]
        assert (entry["actor"], entry["role"], entry["record_id"]) == ("token:admin", "admin", record_id), route
        if route == ("POST", "/tokens"):
            tokens.append(reply.json["token"])
    # The secret part of a token is what follows its id.
    told = json.dumps(make.world.items("audit"), default=str) + json.dumps(logged())
    for secret in [SECRET, *[str(token).rpartition("_")[2] for token in tokens]]:
        assert len(secret) > 8
        assert secret not in told


def test_an_entry_has_the_old_and_the_new_value(make: Make) -> None:
    task = make.task()
    make.admin.patch(f"/tasks/{task['task_id']}", {"name": "Other", "priority": 7})
    entry = make.admin.get("/audit", record_id=task["task_id"]).json["items"][0]
    assert entry["changes"]["name"] == ["Daily orders", "Other"]
    assert entry["changes"]["priority"] == [task["priority"], 7]


@pytest.mark.usefixtures("world")
def test_a_long_document_is_recorded_by_its_beginning() -> None:
    # Each fits an item of its own; both together do not.
    before, after = ({"queries": [{"name": f"报表 {letter}", "sql": letter * 210_000}]} for letter in "xy")
    audit.record(Actor("ada", "editor"), "update", "report", "r", before=before, after=after, now=NOW)
    [entry] = audit.listing(now=NOW, page=1, page_size=10, record_id="r").items
    told = entry.changes["queries"]
    assert [text[:50] for text in told] == [
        json.dumps(each["queries"], ensure_ascii=False)[:50] for each in (before, after)
    ]
    assert {(text[-1], len(text)) for text in told} == {("…", audit.VALUE_LIMIT + 1)}


# --- finding ----------------------------------------------------------------------------------------------------------

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(hour=12, microsecond=0)
ENTRIES = [
    (Actor(f"a{number % 3}", "admin"), f"act_{'xyz'[number % 4 % 3]}", f"type_{'pq'[number % 2]}", f"r{number % 7}")
    for number in range(60)
]


@pytest.fixture
def filled(world: World) -> list[dict[str, Any]]:
    """Sixty entries over sixty-odd days, oldest first."""
    entries = []
    for number, (actor, action, record_type, record_id) in enumerate(ENTRIES):
        at = NOW - (60 - number) * DAY
        audit.record(actor, action, record_type, record_id, before={"n": number}, after={"n": number + 1}, now=at)
        entries.append(
            {"actor": actor.name, "action": action, "record_type": record_type, "record_id": record_id, "at": at}
        )
    return entries


@pytest.mark.usefixtures("world")
def test_each_filter_and_any_of_them_together_find_what_they_say(filled: list[dict[str, Any]]) -> None:
    wanted: dict[str, Any] = {"record_id": "r3", "actor": "a0", "action": "act_x", "record_type": "type_p"}
    times = {"at_from": NOW - 41 * DAY, "at_to": NOW - 20 * DAY}
    names = list(wanted)
    bounds: list[dict[str, datetime]] = [{}, times, {"at_from": times["at_from"]}, {"at_to": times["at_to"]}]
    for chosen in range(1 << len(names)):
        equal = {name: wanted[name] for bit, name in enumerate(names) if chosen >> bit & 1}
        for between in (bounds[chosen % 4], bounds[(chosen + 1) % 4]):
            expected = [
                each["at"]
                for each in reversed(filled)
                if all(each[name] == value for name, value in equal.items())
                and between.get("at_from", each["at"]) <= each["at"]
                and ("at_to" not in between or each["at"] < between["at_to"])
            ]
            found = audit.listing(page=1, page_size=10, now=NOW, **equal, **between)
            assert [each.at for each in found.items] == expected[:10], (equal, between)
            assert found.total == len(expected), (equal, between)


def test_pages_follow_each_other_newest_first(filled: list[dict[str, Any]]) -> None:
    pages = [audit.listing(page=number, page_size=50, now=NOW) for number in (1, 2)]
    seen = [entry.at for page in pages for entry in page.items]
    assert seen == [each["at"] for each in reversed(filled)]
    assert {(page.total, page.pages) for page in pages} == {(60, 2)}


def test_pages_behind_the_end_of_the_total_are_reached(
    filled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "TOTAL_LIMIT", 5)
    pages = [audit.listing(page=number, page_size=10, now=NOW) for number in range(1, 8)]
    assert [entry.at for page in pages for entry in page.items] == [each["at"] for each in reversed(filled)]
    assert {(page.total, page.total_is_lower_bound) for page in pages} == {(5, True)}


def test_a_filter_reads_what_it_finds_and_not_the_whole_audit(filled: list[dict[str, Any]]) -> None:
    scanned = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        scanned.append(parsed.get("ScannedCount", 0))

    dynamodb().meta.events.register("after-call.dynamodb.Query", note, unique_id="test-scanned")
    found = audit.listing(page=1, page_size=10, now=NOW, record_id="r3")
    dynamodb().meta.events.unregister("after-call.dynamodb.Query", unique_id="test-scanned")
    # Once to count, once for the page.
    assert sum(scanned) <= 2 * found.total < len(filled)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"action": "Delete everything"}, "action"),
        ({"action": ""}, "action"),
        ({"record_type": "Täsk"}, "record_type"),
        ({"record_id": "a b"}, "record_id"),
        ({"actor": ""}, "actor"),
        ({"at_from": "yesterday"}, "at_from"),
        ({"at_from": "2026-03-01T00:00:00"}, "at_from"),  # no zone
        ({"at_from": "2026-03-02T00:00:00Z", "at_to": "2026-03-01T00:00:00Z"}, "at_from"),
        ({"sort": "at"}, "sort"),
        ({"page": "0"}, "page"),
    ],
)
def test_an_invalid_filter_is_refused_by_name(admin: Http, query: dict[str, str], field: str) -> None:
    reply = admin.get("/audit", **query)
    assert (reply.status, reply.fields) == (422, [field])


@pytest.mark.parametrize(
    "query",
    [{"actor": "nobody"}, {"at_to": "1960-01-01T00:00:00Z"}, {"at_from": "9000-01-01T00:00:00Z"}, {"page": "9"}],
)
def test_a_filter_without_matches_gives_an_empty_page(admin: Http, query: dict[str, str]) -> None:
    reply = admin.get("/audit", **query)
    assert (reply.status, reply.json["items"]) == (200, [])


@pytest.mark.usefixtures("world")
def test_only_administrators_see_it() -> None:
    assert as_role(Role.EDITOR).get("/audit", actor="admin").status == 403
