from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chalicelib.access import tokens
from chalicelib.access.actor import Actor, Role
from chalicelib.api import authorizer
from chalicelib.api.roles import ROLES
from chalicelib.errors import Unauthenticated
from chalicelib.store.tokens import TokenRecord
from tests.support.http import Http, a_token, as_role
from tests.support.world import World

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_a_token_is_shown_once_and_only_its_hash_is_stored(admin: Http, world: World) -> None:
    made = admin.post("/tokens", {"name": "console", "role": "viewer"}).json
    assert made["token"].startswith(f"carillon_{made['token_id']}_")
    assert "token" not in admin.get(f"/tokens/{made['token_id']}").json
    secret = made["token"].rsplit("_", 1)[1]
    for table in ("tokens", "audit", "requests"):
        assert secret not in json.dumps(world.items(table), default=str)


def test_a_token_has_its_role(admin: Http) -> None:
    token = admin.post("/tokens", {"name": "console", "role": "viewer"}).json["token"]
    assert Http(f"Bearer {token}").get("/me").json == {"name": "token:console", "role": "viewer", "pool": None}


def test_a_repeat_under_the_same_key_makes_one_token_and_hides_it(admin: Http, world: World) -> None:
    body = {"name": "console", "role": "viewer"}
    first, second = (admin.post("/tokens", body, key="k-1").json for _ in range(2))
    assert second == first | {"token": None}
    assert first["token"] not in json.dumps(world.items("requests"), default=str)


def test_a_revoked_token_is_refused(admin: Http) -> None:
    made = admin.post("/tokens", {"name": "console", "role": "viewer"}).json
    revoked = admin.delete(f"/tokens/{made['token_id']}")
    assert revoked.json["revoked_at"] is not None
    assert Http(f"Bearer {made['token']}").get("/me").status == 401
    again = admin.delete(f"/tokens/{made['token_id']}")
    assert again.json["revoked_at"] == revoked.json["revoked_at"]


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer carillon_",
        "Bearer carillon_01M802W0GXJ9JK0SFFXWP7RD58_" + "0" * 64,  # no such token
        "Bearer not.a.jwt",
        "Bearer eyJhbGciOiJub25lIn0.e30.",  # unsigned
        "Bearer " + "x" * 5_000,
    ],
)
@pytest.mark.usefixtures("world")
def test_text_that_is_no_token_is_refused(authorization: str) -> None:
    assert Http(authorization).get("/me").status == 401


@pytest.mark.usefixtures("world")
def test_a_bad_token_writes_one_line_to_the_log(logged: Callable[[], list[dict[str, Any]]]) -> None:
    logged()
    assert Http("Bearer carillon_nobody_0123456789abcdef").get("/me").status == 401
    assert [line["message"] for line in logged()] == ["A token was not accepted"]


def test_the_gateway_says_the_same_of_a_missing_and_of_a_bad_token() -> None:
    gateway = json.loads((Path(__file__).parents[2] / "infra/gateway.json").read_text())
    body = gateway["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    missing, bad = (body["x-amazon-apigateway-gateway-responses"][name] for name in ("UNAUTHORIZED", "ACCESS_DENIED"))
    assert bad == missing | {"statusCode": 401}
    said = json.loads(bad["responseTemplates"]["application/json"])
    assert (said["Code"], said["Message"]) == ("Unauthenticated", Unauthenticated().message)


def test_a_token_with_another_secret_is_refused(world: World) -> None:
    token = a_token()
    other = token[:-1] + ("0" if token[-1] != "0" else "1")
    assert Http(f"Bearer {other}").get("/me").status == 401


def test_a_token_expires(world: World) -> None:
    token = a_token(now=NOW, expires_at=NOW + timedelta(hours=1))
    assert tokens.verify(token, now=NOW + timedelta(minutes=59)).role == "admin"
    with pytest.raises(Unauthenticated):
        tokens.verify(token, now=NOW + timedelta(hours=1))


def test_its_use_is_written_once_an_hour_at_most(world: World) -> None:
    token = a_token()
    used = [_used_after(token, NOW + timedelta(minutes=minutes)) for minutes in (0, 30, 59, 60)]
    assert used == [NOW, NOW, NOW, NOW + timedelta(hours=1)]


def _used_after(token: str, at: datetime) -> datetime | None:
    tokens.verify(token, now=at)
    return TokenRecord.get(token.split("_")[1]).last_used_at


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "viewer"}, "name"),
        ({"name": "", "role": "viewer"}, "name"),
        ({"name": "a\nb", "role": "viewer"}, "name"),
        ({"name": "x", "role": "owner"}, "role"),
        ({"name": "x", "role": "robot"}, "pool"),  # a robot without its pool
        ({"name": "x", "role": "viewer", "pool": "lab"}, "pool"),
        ({"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),  # past
        ({"name": "x", "role": "viewer", "expires_at": "2030-01-01T00:00:00"}, "expires_at"),  # no zone
        ({"name": "x", "role": "viewer", "expires_at": "soon"}, "expires_at"),
        ({"name": "x", "role": "viewer", "expires_at": 1893456000}, "expires_at"),
        ({"name": 5, "role": "viewer"}, "name"),
    ],
)
def test_an_invalid_token_is_refused_by_field(admin: Http, world: World, body: dict[str, Any], field: str) -> None:
    before = len(world.items("tokens"))
    reply = admin.post("/tokens", body)
    assert (reply.status, reply.fields) == (422, [field])
    assert len(world.items("tokens")) == before


def test_every_change_is_audited_and_secrets_are_masked(admin: Http) -> None:
    made = admin.post("/tokens", {"name": "console", "role": "viewer"}).json
    admin.delete(f"/tokens/{made['token_id']}")
    revoked, created = admin.get("/audit").json["items"][:2]
    assert (created["action"], created["record_type"], created["record_id"]) == ("create", "token", made["token_id"])
    assert created["actor"] == "token:admin"
    assert created["changes"]["name"] == [None, "console"]
    assert revoked["action"] == "revoke"
    assert list(revoked["changes"]) == ["revoked_at"]
    assert "hash" not in created["changes"]


def test_the_audit_is_the_administrator_s(world: World) -> None:
    assert as_role(Role.EDITOR).get("/audit").status == 403


def test_a_request_is_logged_without_its_secrets(admin: Http, logged: Callable[[], list[dict[str, Any]]]) -> None:
    logged()
    token = admin.post("/tokens", {"name": "console", "role": "viewer"}).json["token"]
    lines = logged()
    assert [line["status"] for line in lines if line["message"] == "A request was answered"] == [201]
    assert token.rsplit("_", 1)[1] not in json.dumps(lines)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Http]:
    """A client whose token API Gateway has asked about, and whose answer it goes on with."""

    def keep(token: str) -> Http:
        actor = tokens.verify(token, now=datetime.now(UTC))
        before = authorizer.authenticate

        def known(header: str, *, now: datetime) -> Actor:
            return actor if header == f"Bearer {token}" else before(header, now=now)

        monkeypatch.setattr(authorizer, "authenticate", known)
        return Http(f"Bearer {token}")

    return keep


def test_a_revoked_token_changes_nothing_while_api_gateway_still_knows_it(
    admin: Http, world: World, kept: Callable[[str], Http]
) -> None:
    made = admin.post("/tokens", {"name": "console", "role": "admin"}).json
    http = kept(made["token"])
    assert http.post("/tokens", {"name": "mine", "role": "viewer"}).status == 201
    admin.delete(f"/tokens/{made['token_id']}")
    before = len(world.items("tokens"))
    reply = http.post("/tokens", {"name": "mine", "role": "viewer"})
    assert (reply.status, reply.json["Code"]) == (401, "Unauthenticated")
    assert len(world.items("tokens")) == before
    for method, path in ROLES:
        if method != "GET" and ROLES[method, path] is not None:
            assert http.send(method, re.sub(r"\{\w+\}", "none", path)).status == 401, (method, path)


def test_an_expired_or_deleted_token_changes_nothing(admin: Http, kept: Callable[[str], Http]) -> None:
    for change in (TokenRecord.expires_at.set(datetime.now(UTC) - timedelta(seconds=1)), None):
        made = admin.post("/tokens", {"name": "console", "role": "admin"}).json
        http = kept(made["token"])
        record = TokenRecord.get(made["token_id"])
        if change is None:
            record.delete()
        else:
            record.update([change])
        assert http.post("/tokens", {"name": "mine", "role": "viewer"}).status == 401


def test_a_demoted_token_changes_what_its_role_may_now(admin: Http, kept: Callable[[str], Http]) -> None:
    made = admin.post("/tokens", {"name": "console", "role": "admin"}).json
    http = kept(made["token"])
    TokenRecord.get(made["token_id"]).update([TokenRecord.role.set("viewer")])
    assert http.post("/tokens", {"name": "mine", "role": "viewer"}).status == 403
