"""Speaks to the API as a client of a role does, through Chalice's own test client: routes, authorizer and all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from chalice.test import Client

from app import app
from chalicelib.access import tokens
from chalicelib.access.actor import Actor, Role

DENIED = b'{"Message": "User is not authorized to access this resource"}'
UNAUTHORIZED = b'{"message":"Unauthorized"}'
_client = Client(app)


@dataclass(frozen=True)
class Reply:
    status: int
    raw: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def fields(self) -> list[str]:
        """The fields that an error names."""
        return [item["field"] for item in self.json["Errors"]]


@dataclass(frozen=True)
class Http:
    """`body` is sent as JSON, `raw` as it is; keyword arguments of `get` are query parameters."""

    authorization: str | None = None

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        sent = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
        if self.authorization is not None:
            sent["Authorization"] = self.authorization
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        answer = _client.http.request(method, path, headers=sent, body=content)
        if (answer.status_code, answer.body) == (403, DENIED):
            # What the gateway's response for a denied token is set to (infra/gateway.json).
            return Reply(401, UNAUTHORIZED, {})
        return Reply(answer.status_code, answer.body, dict(answer.headers))

    def get(self, path: str, **query: Any) -> Reply:
        return self.send("GET", path + ("?" + urlencode(query, doseq=True) if query else ""))

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Reply:
        return self.send("POST", path, body, headers={"Idempotency-Key": key} if key else None)

    def put(self, path: str, body: Any, *, etag: str | None = None) -> Reply:
        return self.send("PUT", path, body, headers={"If-Match": etag} if etag else None)

    def patch(self, path: str, body: Any, *, etag: str | None = None) -> Reply:
        return self.send("PATCH", path, body, headers={"If-Match": etag} if etag else None)

    def delete(self, path: str, *, etag: str | None = None) -> Reply:
        return self.send("DELETE", path, headers={"If-Match": etag} if etag else None)


def a_token(role: Role = Role.ADMIN, **changes: Any) -> str:
    given: dict[str, Any] = {"name": role.value, "role": role, "pool": "lab" if role == Role.ROBOT else None}
    given |= {"expires_at": None, "actor": Actor(name="system", role=Role.ADMIN), "now": datetime.now(UTC)}
    _, token = tokens.create(**given | changes)
    assert token is not None
    return token


def as_role(role: Role) -> Http:
    return Http(f"Bearer {a_token(role)}")
