from __future__ import annotations

from typing import Annotated

from pydantic import Field

from chalicelib.access.actor import Role
from chalicelib.api.models.base import Answer, Id, Instant, Name, Request, example


class TokenIn(Request):
    model_config = example({"name": "nightly checks", "role": "operator", "expires_at": "2036-01-01T00:00:00Z"})

    name: Name
    role: Role
    pool: Annotated[Id | None, Field(description="The pool of a robot; only with role robot.")] = None
    expires_at: Instant | None = None


class TokenOut(Answer):
    token_id: str
    name: str
    role: Role
    pool: str | None
    creator: str
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None
    last_used_at: Annotated[Instant | None, Field(description="To the hour.")]


class TokenMade(TokenOut):
    token: Annotated[
        str | None,
        Field(description="The whole token. Shown this once: null when the request is repeated under its key."),
    ]


class Me(Answer):
    """Whom the token speaks for."""

    name: str
    role: str
    pool: str | None
