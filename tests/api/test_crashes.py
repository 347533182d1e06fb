"""The process dies in the middle of a request; the client asks again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.api import idempotency
from chalicelib.aws import secrets
from chalicelib.store import audit as audit_store
from chalicelib.store import catalogue as store
from chalicelib.store import idempotency as request_store
from tests.support.api_records import Make
from tests.support.http import Http
from tests.support.world import World


class Died(BaseException):
    """The process is gone."""


@pytest.fixture(autouse=True)
def _leases_end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "LEASE", timedelta(0))


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, str], None]:
    """`dies(module, name, "before" or "after")`: the process dies there once."""

    def arrange(module: Any, name: str, when: str) -> None:
        real = getattr(module, name)

        def dying(*args: Any, **named: Any) -> Any:
            monkeypatch.setattr(module, name, real)
            if when == "after":
                real(*args, **named)
            raise Died

        monkeypatch.setattr(module, name, dying)

    return arrange


POINTS = [
    (module, name, when)
    for module, name in (
        (request_store, "accept"),
        (store, "insert"),
        (secrets, "add"),
        (audit_store, "add"),
        (request_store, "keep_answer"),
    )
    for when in ("before", "after")
]


@pytest.mark.parametrize(("module", "name", "when"), POINTS, ids=lambda item: getattr(item, "__name__", str(item)))
def test_a_source_is_made_once_wherever_the_process_dies(
    admin: Http, make: Make, world: World, dies: Callable[..., None], module: Any, name: str, when: str
) -> None:
    entries = len(world.items("audit"))
    dies(module, name, when)
    body = make.postgres_body()
    with pytest.raises(Died):
        admin.post("/sources", body, key="k-1")
    answer = admin.post("/sources", body, key="k-1")
    assert answer.status == 201, answer.raw
    (record,) = world.items("sources")
    assert record["source_id"] == answer.json["source_id"]
    assert secrets.get(secrets.source_name(record["source_id"]), record["secret_version"]) == {
        "password": body["password"]
    }
    assert len(world.client("secretsmanager").list_secrets()["SecretList"]) == 1
    assert len(world.items("audit")) == entries + 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("module", "name"), [(store, "overwrite"), (secrets, "delete"), (store, "remove")])
def test_a_source_and_its_password_are_gone_after_a_second_delete(
    admin: Http, make: Make, world: World, dies: Callable[..., None], module: Any, name: str, when: str
) -> None:
    source = make.source(**make.postgres_body())
    path = f"/sources/{source['source_id']}"
    dies(module, name, when)
    with pytest.raises(Died):
        admin.delete(path)
    assert admin.delete(path).status in (204, 404)
    assert world.items("sources") == []
    assert world.client("secretsmanager").list_secrets()["SecretList"] == []
