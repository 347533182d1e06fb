"""API tokens `carillon_<id>_<secret>`: shown once, when made; verified on every request; revoked for good."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta

from chalicelib.access import audit
from chalicelib.access.actor import Actor, Role
from chalicelib.core.ids import ulid
from chalicelib.core.instants import utc
from chalicelib.errors import Invalid, Unauthenticated
from chalicelib.paging import Page, cut
from chalicelib.store import tokens as store
from chalicelib.store.tokens import TokenRecord

PREFIX = "carillon"
SECRET_BYTES = 32
# `last_used_at` is written this often: at every use it would cost a write a request.
USE_WRITTEN_EVERY = timedelta(hours=1)

_SHAPE = re.compile(r"carillon_([A-Za-z0-9]{4,40})_([A-Za-z0-9]{16,128})")


def create(
    *,
    name: str,
    role: Role,
    pool: str | None,
    expires_at: datetime | None,
    actor: Actor,
    now: datetime,
    key: str | None = None,
) -> tuple[TokenRecord, str | None]:
    """The record and the whole token, which is shown once: None when an earlier try of the request made it."""
    if (role == Role.ROBOT) != (pool is not None):
        raise Invalid("A robot's token names its pool, and no other token does.", field="pool")
    if expires_at is not None and utc(expires_at) <= now:
        raise Invalid("expires_at must be in the future.", field="expires_at")
    token_id, secret = ulid(now, key), secrets.token_hex(SECRET_BYTES)
    token = TokenRecord(
        token_id,
        name=name,
        role=role.value,
        pool=pool,
        hash=hash_of(secret),
        creator=actor.name,
        created_at=now,
        expires_at=None if expires_at is None else utc(expires_at),
    )
    new = store.insert(token)
    if not new:
        token = store.get(token_id)
    audit.record(actor, "create", "token", token_id, before=None, after=_without_hash(token), now=now)
    return token, f"{PREFIX}_{token_id}_{secret}" if new else None


def listing(*, page: int, page_size: int) -> Page:
    return cut(store.everything(), page=page, page_size=page_size)


def get(token_id: str) -> TokenRecord:
    return store.get(token_id)


def revoke(token_id: str, *, actor: Actor, now: datetime) -> TokenRecord:
    """Revoke a token; a second time changes nothing. Raises TokenNotFound.

    A gateway that caches the authorizer's answer may let it read a little longer.
    """
    token = store.get(token_id)
    before = _without_hash(token)
    if store.revoke(token, now=now):
        audit.record(actor, "revoke", "token", token_id, before=before, after=_without_hash(token), now=now)
        return token
    return store.get(token_id)


def verify(text: str, *, now: datetime) -> Actor:
    """The actor that the token speaks for. Raises Unauthenticated, which never says what exactly was wrong."""
    shape = _SHAPE.fullmatch(text)
    token = store.find(shape.group(1)) if shape else None
    if shape is None or token is None or not hmac.compare_digest(token.hash, hash_of(shape.group(2))):
        raise Unauthenticated
    actor = _actor_of(token, now=now)
    if token.last_used_at is None or now - token.last_used_at >= USE_WRITTEN_EVERY:
        store.note_use(token, now=now, unless_since=now - USE_WRITTEN_EVERY)
    return actor


def refreshed(caller: Actor, *, now: datetime) -> Actor:
    """The caller as its API token stands now. Raises Unauthenticated when the token is gone, revoked or expired."""
    if caller.token_id is None:
        return caller
    token = store.find(caller.token_id)
    if token is None:
        raise Unauthenticated
    return _actor_of(token, now=now)


def _actor_of(token: TokenRecord, *, now: datetime) -> Actor:
    if token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= now):
        raise Unauthenticated
    return Actor(name=f"token:{token.name}", role=token.role, pool=token.pool, token_id=token.token_id)


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _without_hash(token: TokenRecord) -> dict[str, object]:
    return {name: value for name, value in audit.snapshot(token).items() if name != "hash"}
