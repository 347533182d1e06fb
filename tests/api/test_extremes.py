"""Values at the ends of what JSON and a query can say, in every field of every route: a 4xx that names it, no 5xx."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from chalicelib.api import routes
from tests.support.api_records import Make
from tests.support.http import Http, Reply


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


TEXTS = [
    "\x00", "a\x00b", "x" * 5_000, "9" * 400, "1e999999", "NaN", "%s%n{0}{task}", "'\"\\;--", "\u202e", "🎉" * 300,
    "..",    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-12:00", "9999-12-31", "0001-01-01", "9999-12-31T23:59:59",
]  # fmt: skip
VALUES: list[Any] = [
    *TEXTS, None, True, "", -1, 0, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 0.1, 1e308, -1e308, [], {},
    nested(40), nested(500), {"a": nested(500)}, {"": 1}, {"a" * 5_000: 1}, ["x"] * 200, [None], [[]], [{}],
]  # fmt: skip

SCHEDULES: list[dict[str, Any]] = [
    {"type": "once", "at": "2027-01-01T00:00:00", "timezone": "UTC", "fold": 0, "run_if_past": True},
    {
        "type": "interval", "every": 5, "unit": "minute", "timezone": "Asia/Shanghai", "start": "2026-01-01T00:00:00Z",
        "end": "2027-01-01T00:00:00Z", "jitter_seconds": 1,
    },
    {
        "type": "calendar", "every": 1, "unit": "month", "at": "02:00:00", "timezone": "Asia/Shanghai", "month_day": 1,
        "if_missing": "skip", "dst_policy": "vixie", "on_non_business": "skip", "anchor": "2026-01-01T00:00:00",
    },
    {"type": "calendar", "every": 1, "unit": "week", "at": "02:00:00", "weekdays": ["MON"], "week_start": "MON"},
    {"type": "cron", "expression": "0 2 * * *", "timezone": "America/New_York"},
]  # fmt: skip
WINDOWS: list[dict[str, Any]] = [
    {"type": "last", "n": 2, "unit": "day", "allow_empty": True},
    {"type": "previous", "n": 2, "unit": "week", "week_start": "MON"},
    {"type": "rolling", "n": 2, "unit": "second"},
    {"type": "to_date", "unit": "month", "until": "full_days"},
    {"type": "custom", "start": {"trunc": "day", "offset": -1, "unit": "day"}, "end": {"trunc": "day"}},
    {"type": "fixed", "start": "2026-01-01T00:00:00", "end": "2026-02-01T00:00:00Z"},
]


def bodies(make: Make) -> Iterator[tuple[str, str, Any]]:
    """(method, path, a body with every field) of each route that takes one; several where a field has several forms."""
    source, job = make.source()["source_id"], make.job()
    parameters = [
        {"name": kind[0], "type": kind, "required": False, "default": default, "description": "d"}
        for kind, default in (
            ("string", "x"), ("integer", 1), ("number", 1.5), ("boolean", True), ("date", "2026-01-01"),
        )
    ] + [{"name": "at", "type": "datetime", "default": "2026-01-01T00:00:00Z"}]  # fmt: skip
    sql = "SELECT :s AS s, :i AS i, :n AS n, :b AS b, :d AS d, :at AS at, :scheduled_for_local AS f"
    queries = [{"name": "q", "sql": sql, "key": ["s"]}]
    full_report = {"name": "r", "description": "", "source_id": source, "queries": queries, "parameters": parameters}
    report = make.admin.post("/reports", full_report).json["report_id"]
    values = {"s": "x", "i": 1, "n": 1.5, "b": True, "d": "2026-01-01", "at": "2026-01-01T00:00:00Z"}
    task = {
        "name": "t", "kind": "report_export", "enabled": True, "group": "g", "description": "", "overlap": "skip",
        "spec": {"report_id": report, "format": "csv", "compression": "gzip", "file_name": "{task}.csv.gz"},
        "schedule": SCHEDULES[-1], "window": WINDOWS[0], "misfire": {"policy": "catch_up", "grace_seconds": 60},
        "priority": 1, "parameters": values, "pool": "cloud", "trigger": "tick", "deadline_seconds": 60,
        "retry": {"max_attempts": 2, "delay_seconds": 1, "backoff": "fixed", "max_delay_seconds": 5},
        "queue_wait_limit_seconds": 60, "statement_timeout_seconds": 60, "max_concurrency": 2,
    }  # fmt: skip
    task_id = make.admin.post("/tasks", task).json["task_id"]
    postgres = make.postgres_body()
    postgres["settings"] |= {"sslmode": "disable", "search_path": "public", "timezone": "UTC"}
    calendar = {"name": "c", "description": "", "country": "CN", "days": {"2026-10-01": "off"}}
    calendar |= {"covers_from": "2026-01-01", "covers_to": "2026-12-31"}
    calendar_id = make.admin.post("/calendars", calendar).json["calendar_id"]
    yield "POST", "/tasks", task
    yield "PUT", f"/tasks/{task_id}", task
    yield "PATCH", f"/tasks/{task_id}", task
    yield "POST", f"/tasks/{task_id}/run", {"parameters": values, "scheduled_for": "2026-01-01T00:00:00Z"}
    yield "POST", f"/tasks/{task_id}/enable", {"note": "n"}
    yield "POST", f"/tasks/{task_id}/disable", {"note": "n"}
    for schedule in SCHEDULES:
        yield "POST", "/schedules/preview", {"schedule": schedule, "count": 2, "after": "2026-01-01T00:00:00Z"}
    for window in WINDOWS:
        yield "POST", "/schedules/preview", {"schedule": SCHEDULES[-1], "count": 2, "window": window}
    yield "PATCH", f"/jobs/{job['job_id']}", {"priority": 5}
    yield "POST", "/jobs/batch", {"action": "cancel", "job_ids": [job["job_id"]], "dry_run": True}
    filters = {"created_from": "2026-01-01T00:00:00Z", "created_to": "2026-02-01T00:00:00Z", "search": "x", "kind": "k"}
    filters |= {"status": ["failed"], "reason": "error", "task_id": "t", "group": "g", "operator": "o", "pool": "cloud"}
    filters |= {"source_id": "s", "account_id": "a", "action": "a", "trigger": "manual"}
    yield "POST", "/jobs/batch", {"action": "set_priority", "filter": filters, "priority": 5, "dry_run": True}
    yield "POST", "/jobs/batch", {"action": "cancel", "filter": {"created": "week", "timezone": "UTC"}, "dry_run": True}
    yield "POST", "/reports", full_report
    yield "PUT", f"/reports/{report}", full_report
    yield "PATCH", f"/reports/{report}", full_report
    preview = {"query": "q", "parameters": values, "limit": 2, "window": WINDOWS[0], "timezone": "Asia/Shanghai"}
    yield "POST", f"/reports/{report}/preview", preview | {"scheduled_for": "2026-01-01T00:00:00Z"}
    yield "POST", "/sources", postgres | {"description": "", "max_concurrency": 2}
    yield "PATCH", f"/sources/{source}", make.source_body()
    yield "POST", "/sources", make.source_body(settings={"path": "shop.db", "datetime_format": "text"})
    yield "PUT", f"/sources/{source}", make.source_body()
    yield "PATCH", f"/sources/{source}", make.source_body(description="", max_concurrency=2)
    yield "POST", "/calendars", calendar
    yield "PUT", f"/calendars/{calendar_id}", calendar
    yield "PATCH", f"/calendars/{calendar_id}", calendar
    yield "PATCH", "/pools/cloud", {"paused": False, "note": "n"}
    yield "POST", "/tokens", {"name": "n", "role": "robot", "pool": "lab", "expires_at": "2030-01-01T00:00:00Z"}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything inside: each value, and each object and list as a whole."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list) and value:
        yield from leaves(value[0], (*path, 0))


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    found = at = copy.deepcopy(body)
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return found


def fault(reply: Reply) -> str:
    """What is wrong with an answer; empty when nothing is."""
    if reply.status >= 500:
        return f"{reply.status}"
    if reply.status == 422 and not reply.json["Errors"]:
        return "422 that names no field"
    return "a long answer" if reply.status >= 400 and len(reply.raw) > 100_000 else ""


@pytest.mark.slow
def test_no_value_of_a_body_is_a_server_error(admin: Http, make: Make) -> None:
    routed, faults = set(), []
    for method, path, body in bodies(make):
        before = admin.send(method, path, body)
        assert before.status in (200, 201, 202, 409), (method, path, before.raw)
        routed.add((method, path.split("/")[1], path.count("/")))
        # The model of a PUT and a PATCH is that of the POST, so a part of the values is enough there.
        several = 1 if method == "POST" else 7
        for number, leaf in enumerate(leaves(body)):
            for value in VALUES[number % several :: several]:
                if found := fault(admin.send(method, path, replaced(body, leaf, value))):
                    faults.append((found, method, path, leaf, repr(value)[:60]))
    assert faults == []
    taken = {(each.method, each.path.split("/")[1], each.path.count("/")) for each in routes.operations() if each.body}
    assert routed == taken, "a route that takes a body needs one here"


def test_no_value_of_a_query_is_a_server_error(admin: Http, make: Make) -> None:
    job = make.job()
    ids = {"job_id": job["job_id"], "task_id": job["task_id"]}
    texts = [*TEXTS, "", "-1", "0", str(2**31), str(2**63), "9" * 5_000, "0.1", "true", "failed", "error"]
    tried, faults = 0, []
    for operation in routes.operations():
        path = operation.path.format_map(ids) if set(ids) & set(operation.path.split("{")[-1:][0].split("}")) else None
        if operation.query is None or (path is None and "{" in operation.path):
            continue
        for name in operation.query.model_fields:
            for text in texts:
                tried += 1
                if found := fault(admin.send(operation.method, f"{path or operation.path}?{name}={quote(text)}")):
                    faults.append((found, operation.path, name, text[:60]))
    assert faults == []
    assert tried > 1_000


@pytest.mark.parametrize("depth", [33, 100, 400, 900, 2_000])
def test_json_that_is_nested_too_deep_is_refused_by_name(admin: Http, make: Make, depth: int) -> None:
    for path, body in (("/tasks", make.task_body()), ("/sources", make.source_body()), ("/schedules/preview", {})):
        for field in ("settings", "parameters", "schedule"):
            raw = (
                json.dumps(body)[:-1]
                + (", " if body else "")
                + f'"{field}": '
                + '{"a":' * depth
                + "1"
                + "}" * depth
                + "}"
            )
            reply = admin.send("POST", path, raw=raw.encode())
            assert reply.status in (400, 422), reply.raw
            assert reply.fields, reply.raw


class Key(str):
    """A key of an object that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Key.compared += 1
        return str.__eq__(self, other)


def test_repeated_keys_are_found_in_steps_that_grow_with_their_number() -> None:
    from chalicelib.api.request import _without_repeats
    from chalicelib.errors import Malformed

    steps = []
    for count in (500, 2_000):
        Key.compared = 0
        keys = [Key(f"k{number}") for number in range(count)]
        with pytest.raises(Malformed):
            _without_repeats([(key, 1) for key in [*keys, Key(f"k{count - 1}")]])
        steps.append(Key.compared)
    assert steps[1] <= 4.5 * max(steps[0], 10)
