"""What an error tells a program: its code, its headers, and the reason in its message."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.api import errors as answers
from chalicelib.errors import Invalid, RequestInProgress, TooManyRequests, Unauthenticated, Unavailable
from chalicelib.store import idempotency as store
from tests.support.api_records import Make
from tests.support.http import Http


@pytest.mark.parametrize(
    "error", [RequestInProgress(), TooManyRequests(), Unavailable()], ids=lambda error: type(error).__name__
)
def test_what_may_be_tried_again_says_when(error: Exception) -> None:
    assert answers.answer(error).headers["Retry-After"] == "1"
    assert "Retry-After" not in answers.answer(Invalid("no", field="name")).headers


def test_a_401_says_what_it_asks_for() -> None:
    assert answers.answer(Unauthenticated()).headers["WWW-Authenticate"] == 'Bearer realm="carillon"'


def test_a_repeat_of_a_request_under_way_has_a_code_of_its_own(
    admin: Http, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = make.report_body()
    monkeypatch.setattr(store, "keep_answer", lambda *given, **named: None)
    assert admin.post("/reports", body, key="k").status == 201

    reply = admin.post("/reports", body, key="k")

    assert (reply.status, reply.json["Code"], reply.headers["Retry-After"]) == (409, "RequestInProgress", "1")


def test_an_edit_refuses_an_idempotency_key(admin: Http, make: Make) -> None:
    path = f"/tasks/{make.task()['task_id']}"
    for method, body in (("PATCH", {"name": "Other"}), ("PUT", make.task_body(name="Other")), ("DELETE", None)):
        reply = admin.send(method, path, body, headers={"Idempotency-Key": "k"})
        assert (reply.status, reply.fields) == (422, ["Idempotency-Key"])
    assert admin.get(path).json["name"] == "Daily orders"
    assert admin.send("GET", path, headers={"Idempotency-Key": "k"}).status == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/calendars", {"name": "", "days": 5, "color": "red"}),
        ("/tasks", {"name": "x", "kind": "report_export", "spec": {}, "schedule": {"type": "cron", "expression": "x"}}),
        (
            "/tasks",
            {"name": "x", "kind": "report_export", "spec": {"format": "csv", "color": 1}, "schedule": {"type": "now"}},
        ),
        ("/schedules/preview", {"schedule": {"type": "cron", "expression": "0 0 30 2 *"}}),
        ("/jobs/batch", {"action": "cancel"}),
    ],
    ids=str,
)
def test_the_message_holds_the_reasons(admin: Http, path: str, body: dict[str, Any]) -> None:
    reply = admin.post(path, body)

    assert reply.status == 422
    assert reply.json["Errors"]
    for problem in reply.json["Errors"][:3]:
        assert problem["message"].rstrip(".") in reply.json["Message"], reply.raw


def test_a_message_that_would_be_long_counts_the_rest(admin: Http) -> None:
    reply = admin.post("/calendars", {"name": "x", "days": {}, **{f"no_{k}": k for k in range(9)}})

    assert len(reply.json["Errors"]) == 9
    assert reply.json["Message"].endswith("And 6 more.")
    assert reply.json["Message"].count("There is no such field") == 3
