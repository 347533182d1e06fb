"""API tokens: who a token speaks for, and only the hash of its secret."""

from __future__ import annotations

from datetime import datetime

from pynamodb.attributes import UnicodeAttribute

from chalicelib.errors import TokenNotFound
from chalicelib.store.base import InstantAttribute, Record, saved, table_name, written


class TokenRecord(Record):
    class Meta:
        table_name = table_name("tokens")

    token_id = UnicodeAttribute(hash_key=True)
    name = UnicodeAttribute()
    role = UnicodeAttribute()
    pool = UnicodeAttribute(null=True)
    # SHA-256 of the secret, in hex. The secret has 256 random bits, so a slow hash would protect nothing.
    hash = UnicodeAttribute()
    creator = UnicodeAttribute()
    created_at = InstantAttribute()
    expires_at = InstantAttribute(null=True)
    revoked_at = InstantAttribute(null=True)
    last_used_at = InstantAttribute(null=True)


def find(token_id: str) -> TokenRecord | None:
    try:
        return TokenRecord.get(token_id, consistent_read=True)
    except TokenRecord.DoesNotExist:
        return None


def get(token_id: str) -> TokenRecord:
    token = find(token_id)
    if token is None:
        raise TokenNotFound
    return token


def insert(token: TokenRecord) -> bool:
    return saved(token, TokenRecord.token_id.does_not_exist())


def everything() -> list[TokenRecord]:
    return sorted(TokenRecord.scan(consistent_read=True), key=lambda token: str(token.token_id), reverse=True)


def revoke(token: TokenRecord, *, now: datetime) -> bool:
    """False when it was revoked already."""
    return written(
        token, [TokenRecord.revoked_at.set(now)], TokenRecord.hash.exists() & TokenRecord.revoked_at.does_not_exist()
    )


def note_use(token: TokenRecord, *, now: datetime, unless_since: datetime) -> None:
    """Write the time of use, unless another process wrote one since `unless_since`."""
    last = TokenRecord.last_used_at
    written(token, [last.set(now)], TokenRecord.hash.exists() & (last.does_not_exist() | (last <= unless_since)))
