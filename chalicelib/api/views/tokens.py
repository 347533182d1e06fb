"""API tokens, and who the caller is."""

from __future__ import annotations

from typing import Any

from chalicelib.access import tokens
from chalicelib.api.models.base import Listing, PageQuery
from chalicelib.api.models.tokens import Me, TokenIn, TokenMade, TokenOut
from chalicelib.api.operation import Call, operation
from chalicelib.errors import TokenNotFound


@operation("GET", "/me", answer=Me, summary="Whom the token speaks for")
def read_me(call: Call) -> Any:
    return call.actor


@operation(
    "POST",
    "/tokens",
    body=TokenIn,
    answer=TokenMade,
    status=201,
    id_field="token_id",
    shown_once=("token",),
    summary="Make an API token; the answer shows it, once",
)
def create_token(call: Call) -> Any:
    record, token = tokens.create(
        name=call.body.name,
        role=call.body.role,
        pool=call.body.pool,
        expires_at=call.body.expires_at,
        actor=call.actor,
        now=call.now,
        key=call.key,
    )
    return {**TokenOut.model_validate(record).model_dump(), "token": token}


@operation("GET", "/tokens", query=PageQuery, answer=Listing[TokenOut], summary="List API tokens")
def list_tokens(call: Call) -> Any:
    return tokens.listing(page=call.query.page, page_size=call.query.page_size)


@operation("GET", "/tokens/{token_id}", answer=TokenOut, errors=(TokenNotFound,), summary="Read an API token")
def get_token(call: Call, token_id: str) -> Any:
    return tokens.get(token_id)


@operation(
    "DELETE",
    "/tokens/{token_id}",
    answer=TokenOut,
    errors=(TokenNotFound,),
    summary="Revoke an API token; its record stays",
)
def revoke_token(call: Call, token_id: str) -> Any:
    """The token cannot change anything from now on. What reads may go on for up to 30 s, as API Gateway keeps an
    answer that long; a JWT cannot be revoked here and lasts until it expires."""
    return tokens.revoke(token_id, actor=call.actor, now=call.now)
