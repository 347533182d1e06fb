"""What holds for every route and every error."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app import app
from chalicelib import errors
from chalicelib.access.actor import Role, allows
from chalicelib.api import VERSION, openapi, routes
from chalicelib.api.errors import status_of
from chalicelib.api.models.patterns import WORDS
from chalicelib.api.roles import OPEN, ROLES, may
from tests.support.api_records import Make
from tests.support.http import Http, as_role

ROOT = Path(__file__).parent.parent.parent
ROUTES = sorted(ROLES)
REGISTERED = {(method, path) for path, methods in app.routes.items() for method in methods}
GUARDED = [route for route in ROUTES if ROLES[route] is not OPEN]


def every_error(base: type[errors.CarillonError] = errors.CarillonError) -> Iterator[type[errors.CarillonError]]:
    for error in base.__subclasses__():
        yield error
        yield from every_error(error)


@pytest.mark.parametrize("error", sorted(set(every_error()), key=lambda error: error.__name__))
def test_every_error_has_a_status(error: type[errors.CarillonError]) -> None:
    assert 400 <= status_of(error) < 600


def test_every_role_has_a_route_and_every_other_route_refuses_its_method(admin: Http) -> None:
    assert set(ROLES) <= REGISTERED
    for method, path in REGISTERED - set(ROLES):
        reply = admin.send(method, _with_ids(path), {})
        allowed = [known for known, at in ROLES if at == path]
        assert (reply.status, reply.json["Code"]) == (405, "MethodNotAllowed"), (method, path)
        assert reply.headers["Allow"] == ", ".join(allowed)
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_every_address_answers_the_usual_methods() -> None:
    usual = {"GET", "POST", "PUT", "PATCH", "DELETE"}
    assert {(method, path) for method in usual for _, path in ROLES} <= REGISTERED


def test_every_route_has_a_view_and_every_view_a_route() -> None:
    assert sorted((operation.method, operation.path) for operation in routes.operations()) == ROUTES


def test_only_these_routes_ask_for_no_token() -> None:
    opened = {("GET", "/health"), ("HEAD", "/health"), ("GET", "/openapi.json")}
    assert {route for route, role in ROLES.items() if role is OPEN} == opened
    for method, path in ROUTES:
        assert (app.routes[path][method].authorizer is None) == (ROLES[method, path] is OPEN)


@pytest.mark.usefixtures("world")
def test_a_route_without_a_token_answers_401() -> None:
    for method, path in GUARDED:
        assert Http().send(method, _with_ids(path)).status == 401, (method, path)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_do_what_the_table_says_and_no_more(role: Role) -> None:
    http = as_role(role)
    for (method, path), needed in ROLES.items():
        reply = http.send(method, _with_ids(path))
        denied = needed is not OPEN and not may(role, needed)
        assert (reply.status == 403) == denied, (method, path, reply.raw)
        if denied:
            assert reply.json["Code"] == "Forbidden"
            assert f"needs the role {needed}" in reply.json["Message"]


def test_a_robot_has_no_role_of_people() -> None:
    assert not allows(Role.ROBOT, Role.VIEWER)
    assert not allows(Role.ADMIN, Role.ROBOT)
    assert allows(Role.ROBOT, Role.ROBOT)
    assert not allows("", Role.VIEWER)
    assert not allows("owner", Role.VIEWER)


@pytest.mark.usefixtures("world")
def test_a_robot_sees_whose_token_it_has() -> None:
    reply = as_role(Role.ROBOT).get("/me")
    assert (reply.status, reply.json["role"], reply.json["pool"]) == (200, "robot", "lab")


def test_a_route_without_a_role_is_denied_to_every_role(admin: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ROLES, ("GET", "/tokens"))
    assert admin.get("/tokens").status == 403


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"{", 400, "Malformed"),
        (b"[]", 400, "Malformed"),
        (b'"text"', 400, "Malformed"),
        (b"null", 400, "Malformed"),
        (b"\xff\xfe", 400, "Malformed"),  # not UTF-8
        (b'{"a": NaN}', 400, "Malformed"),
        (b'{"a": "\\ud800"}', 400, "Malformed"),  # half a surrogate pair
        (b'{"a":' + b"[" * 50_000, 400, "Malformed"),  # too deep
        (b'{"a":' + b"9" * 5_000 + b"}", 400, "Malformed"),  # more digits than Python reads
        (b'{"a": "' + b"x" * 1_048_576 + b'"}', 413, "BodyTooLarge"),
    ],
    ids=["open", "list", "text", "null", "bytes", "NaN", "surrogate", "deep", "digits", "large"],
)
def test_a_body_that_cannot_be_read_is_refused(admin: Http, raw: bytes, status: int, code: str) -> None:
    for method, path in GUARDED:
        if method in ("POST", "PUT", "PATCH"):
            reply = admin.send(method, _with_ids(path), raw=raw)
            assert (reply.status, reply.json["Code"]) == (status, code), (method, path, reply.raw)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"name": "a", "name": "b"}', "name"),
        (b'{"name": "a", "settings": {"path": "a", "path": "a"}}', "path"),
        (b'{"\\ud800": 1, "\\ud800": 2}', "?"),  # what cannot be told is shown as a question mark
    ],
    ids=["twice", "inside", "surrogate"],
)
def test_a_key_that_comes_twice_is_refused_by_name(admin: Http, raw: bytes, field: str) -> None:
    reply = admin.send("POST", "/sources", raw=raw)
    assert (reply.status, reply.json["Code"], reply.fields) == (400, "Malformed", [field])


@pytest.mark.parametrize(
    "number",
    [
        "123456789.123456789",
        "0.1234567890123456789",
        "1e400",
        "1e-400",
        "1e99999999999999999999",
        "-9007199254740993.0",
    ],
)
def test_a_number_that_would_be_rounded_is_refused_by_name(admin: Http, number: str) -> None:
    raw = f'{{"parameters": {{"amounts": [1.5, {number}]}}}}'.encode()
    for path in ("/tasks", "/tasks/none/run", "/reports/none/preview"):
        reply = admin.send("POST", path, raw=raw)
        assert (reply.status, reply.fields) == (422, ["parameters.amounts.1"]), reply.raw
        assert "send it as text" in reply.json["Message"]


def test_a_number_comes_back_as_it_was_sent(admin: Http, make: Make) -> None:
    numbers = ["0.1", "1234567.12345678", "5e-324", "1.7976931348623157e308", "-0.30", "2.5E3", str(10**30)]
    body = json.dumps(make.report_body())
    declared = [f'{{"name": "p{at}", "type": "number", "default": {number}}}' for at, number in enumerate(numbers)]
    raw = f'{body[:-1]}, "parameters": [{", ".join(declared)}]}}'.encode()
    kept = [parameter["default"] for parameter in admin.send("POST", "/reports", raw=raw).json["parameters"]]
    assert [Decimal(str(number)) for number in kept] == [Decimal(number) for number in numbers]


def test_a_condition_that_the_route_does_not_read_is_refused(admin: Http) -> None:
    for operation in routes.operations():
        shown = openapi.document()["paths"][operation.path][operation.method.lower()]
        described = "If-Match" in {parameter["name"] for parameter in shown["parameters"]}
        assert described == operation.takes_revision
        if not described:
            reply = admin.send(operation.method, _with_ids(operation.path), headers={"If-Match": '"99"'})
            assert (reply.status, reply.fields) == (422, ["If-Match"]), (operation.method, operation.path)
            assert "Invalid" in shown["responses"]["422"]["description"]


def test_an_empty_condition_is_refused(admin: Http, make: Make) -> None:
    reply = admin.send("DELETE", f"/tasks/{make.task()['task_id']}", headers={"If-Match": ""})
    assert (reply.status, reply.fields) == (422, ["If-Match"])


def test_a_message_is_in_words(admin: Http, make: Make) -> None:
    source_id = make.source()["source_id"]
    report = {"name": "x", "source_id": source_id, "queries": [{"name": "q", "sql": "SELECT 1"}]}
    postgres = {"host": "a b", "database": "d", "user": "u"}
    for path, body, field in (
        ("/reports", report | {"source_id": "a b"}, "source_id"),
        ("/reports", report | {"parameters": [{"name": "1st"}]}, "parameters.0.name"),
        ("/reports", report | {"name": "a\tb"}, "name"),
        ("/calendars", {"name": "x", "days": {}, "covers_from": "today"}, "covers_from"),
        ("/tasks", make.task_body(spec={"report_id": "a b"}), "spec.report_id"),
        ("/sources", {"name": "x", "kind": "postgres", "settings": postgres}, "settings.host"),
    ):
        reply = admin.post(path, body)
        assert (reply.status, reply.fields) == (422, [field]), reply.raw
        assert "pattern" not in reply.raw.decode(), reply.raw


def test_every_pattern_has_its_words() -> None:
    shown = set(re.findall(r"'pattern': '(.*?)'", str(openapi.document()["components"]["schemas"])))
    judged_by_a_kind = {"^[A-Za-z0-9_-]+$", r"^[^\x00-\x1f\x7f]*$"}
    assert {pattern.replace("\\\\", "\\") for pattern in shown} - judged_by_a_kind <= set(WORDS)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("created_from=1767225600", "created_from"),  # no number is an instant
        ("created_to=-2.2e-16", "created_to"),
        ("status=nope", "status"),
        ("status=failed&status=nope", "status"),
        ("timezone=Mars", "timezone"),
    ],
)
def test_an_invalid_filter_is_refused_by_its_name(admin: Http, query: str, field: str) -> None:
    reply = admin.send("GET", f"/jobs?{query}")
    assert (reply.status, reply.fields) == (422, [field])


def test_a_field_that_does_not_exist_is_refused_by_name(admin: Http) -> None:
    for operation in routes.operations():
        if operation.body is None:
            continue
        reply = admin.send(operation.method, _with_ids(operation.path), {"no_such_field": 1})
        assert reply.status == 422, operation
        assert "no_such_field" in reply.fields, operation


def test_a_query_parameter_that_does_not_exist_is_refused_by_name(admin: Http) -> None:
    for method, path in ROUTES:
        reply = admin.send(method, f"{_with_ids(path)}?no_such=1")
        assert reply.status == 422, (method, path)
        assert method == "HEAD" or reply.fields == ["no_such"], (method, path)


LISTS = ("/tasks", "/jobs", "/batches", "/reports", "/sources", "/calendars", "/tokens", "/audit")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=7", "page_size"),
        ("page_size=0", "page_size"),
        ("page_size=ten", "page_size"),
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=1.5", "page"),
        ("page=1&page=2", "page"),  # twice
    ],
)
def test_an_invalid_page_is_refused_by_name(admin: Http, query: str, field: str) -> None:
    for path in LISTS:
        reply = admin.send("GET", f"{path}?{query}")
        assert (reply.status, reply.fields) == (422, [field]), path


@pytest.mark.parametrize("size", [10, 20, 50, 100])
def test_a_list_answers_in_one_shape(admin: Http, size: int) -> None:
    for path in ("/tasks", "/jobs", "/batches", "/reports", "/sources", "/calendars"):
        shape = {"items": [], "page": 1, "page_size": size, "total": 0, "total_is_lower_bound": False, "pages": 0}
        assert admin.get(path, page_size=size).json == shape


@pytest.mark.parametrize("record_id", ["no-such-id", "..", "a%2Fb", "x" * 65, "%00", "%E4%BD%A0"])
def test_an_id_that_does_not_exist_is_404(admin: Http, record_id: str) -> None:
    for path in ("/tasks", "/jobs", "/batches", "/reports", "/sources", "/calendars", "/tokens"):
        assert admin.get(f"{path}/{record_id}").status == 404, path


def test_the_version_is_the_project_s() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


HEAVY = (
    "pandas",
    "numpy",
    "sqlalchemy",
    "psycopg2",
    "croniter",
    "cryptography",
    "jwt",
    "isal",
    "sqlite3",
    "xlsxwriter",
)


def test_importing_the_app_loads_nothing_heavy() -> None:
    program = f"import app, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_handlers_keep_their_names() -> None:
    assert {"tick", "sweep", "work", "fire", "authorize"} <= set(app.handler_map)


def _with_ids(path: str) -> str:
    return re.sub(r"\{\w+\}", "none", path)


def test_an_unexpected_error_is_logged_and_its_answer_has_no_detail(
    admin: Http, monkeypatch: pytest.MonkeyPatch, logged: Any
) -> None:
    def broken(*args: Any, **named: Any) -> None:
        raise RuntimeError("password=hunter2 at 10.0.0.7")

    monkeypatch.setattr("chalicelib.access.tokens.listing", broken)
    reply = admin.get("/tokens")
    assert (reply.status, reply.json["Code"], reply.json["Errors"]) == (500, "InternalError", [])
    assert b"hunter2" not in reply.raw
    assert any(line["message"] == "A request failed" and line["error"] == "RuntimeError" for line in logged())
