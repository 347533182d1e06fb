from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.api import VERSION, probes
from tests.support.http import Http

pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    probes.forget()
    yield
    probes.forget()


def test_health_answers_without_a_token() -> None:
    reply = Http().get("/health")
    assert reply.status == 200
    assert (reply.json["status"], reply.json["version"], reply.json["stage"]) == ("ok", VERSION, "test")
    assert {check["service"]: check["reachable"] for check in reply.json["services"]} == {
        "dynamodb": True,
        "sqs": True,
        "s3": True,
    }


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://s3.internal:9000"),
        ClientError({"Error": {"Code": "AccessDenied", "Message": "secret-bucket"}}, "HeadBucket"),
    ],
)
def test_a_service_out_of_reach_answers_503_and_no_detail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def down() -> None:
        raise error

    monkeypatch.setitem(probes.PROBES, "s3", down)
    reply = Http().get("/health")
    assert reply.status == 503
    assert [check["service"] for check in reply.json["services"] if not check["reachable"]] == ["s3"]
    assert b"internal" not in reply.raw
    assert b"bucket" not in reply.raw


@pytest.fixture
def silent() -> Iterator[Callable[[], object]]:
    """A probe that gets no answer before the test is over."""
    over = threading.Event()
    yield over.wait
    over.set()


def test_a_service_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, silent: Callable[[], object]
) -> None:
    monkeypatch.setattr(probes, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setitem(probes.PROBES, "sqs", silent)
    assert Http().get("/health").status == 503


def test_asking_often_asks_the_services_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setitem(probes.PROBES, "s3", lambda: asked.append(1))
    for _ in range(5):
        Http().get("/health")
    assert len(asked) == 1


def test_its_head_is_the_same_without_a_body(monkeypatch: pytest.MonkeyPatch, silent: Callable[[], object]) -> None:
    assert (Http().send("HEAD", "/health").status, Http().send("HEAD", "/health").raw) == (200, b"")
    probes.forget()
    monkeypatch.setattr(probes, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setitem(probes.PROBES, "sqs", silent)
    assert (Http().send("HEAD", "/health").status, Http().send("HEAD", "/health").raw) == (503, b"")
