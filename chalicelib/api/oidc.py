"""Verifies JWTs of the stage's issuer, a Cognito user pool or another OpenID Connect issuer. RS256 only.

The issuer's keys are fetched when they are first needed, and cached. So is a fetch that failed: while an issuer is
down, requests do not wait for it.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import jwt

from chalicelib import clock, log
from chalicelib.access.actor import LADDER, Actor
from chalicelib.core.record_bounds import ACTOR_CHARACTERS
from chalicelib.errors import Unauthenticated
from chalicelib.settings import settings

# How long keys are cached: issuers rotate them over days.
KEYS_CACHED_SECONDS = 3_600.0
# A token with an unknown key id makes us fetch the keys again, but not more often: a caller can invent key ids.
FETCH_AGAIN_SECONDS = 60.0
# An issuer that did not answer is asked again after this long. Each try may take FETCH_SECONDS of a request, twice.
DOWN_SECONDS = 15.0
FETCH_SECONDS = 3.0
LEEWAY_SECONDS = 30
ANSWER_LIMIT_BYTES = 1_000_000
ALGORITHMS = ["RS256"]


@dataclass
class _Keys:
    fetched_at: float
    by_id: dict[str, Any]


_cache: dict[str, _Keys] = {}
# When an issuer last failed to answer.
_failed_at: dict[str, float] = {}


def verify(text: str, *, now: datetime) -> Actor:
    """The actor of a JWT, with the highest of its groups as role; Unauthenticated when the token is not valid."""
    issuer, audience = settings().issuer, settings().audience
    if not issuer:
        raise Unauthenticated
    try:
        claims = jwt.decode(
            text,
            key=_key(issuer, jwt.get_unverified_header(text)),
            algorithms=ALGORITHMS,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            # Checked below: Cognito's access tokens have `client_id` instead of `aud`; times are compared with `now`.
            options={"require": ["exp", "iss", "sub"], "verify_aud": False, "verify_exp": False, "verify_nbf": False},
        )
    except jwt.PyJWTError as error:
        raise Unauthenticated from error
    if not _is_for(claims, audience) or not _in_time(claims, now):
        raise Unauthenticated
    return Actor(name=_name(claims), role=_role(claims), subject=str(claims["sub"]))


def forget_keys() -> None:
    _cache.clear()
    _failed_at.clear()


def _key(issuer: str, header: dict[str, Any]) -> Any:
    if header.get("alg") not in ALGORITHMS:
        raise Unauthenticated
    key_id = str(header.get("kid") or "")
    keys, now = _cache.get(issuer), clock.monotonic()
    if keys is None or now - keys.fetched_at > KEYS_CACHED_SECONDS:
        keys = _fetch(issuer, now)
    if key_id not in keys.by_id and now - keys.fetched_at > FETCH_AGAIN_SECONDS:
        keys = _fetch(issuer, now)
    try:
        return keys.by_id[key_id]
    except KeyError:
        raise Unauthenticated from None


def _fetch(issuer: str, now: float) -> _Keys:
    """The issuer's signing keys. When it does not answer, the cached keys stay valid; without any, Unauthenticated."""
    if now - _failed_at.get(issuer, -DOWN_SECONDS) < DOWN_SECONDS:
        return _cached(issuer)
    try:
        discovered = _get_json(f"{_reachable(issuer)}/.well-known/openid-configuration")
        found = jwt.PyJWKSet.from_dict(_get_json(str(discovered["jwks_uri"]))).keys
    except (OSError, ValueError, KeyError, jwt.PyJWTError) as error:
        _failed_at[issuer] = now
        log.error("The issuer's keys could not be fetched", error=type(error).__name__, issuer=issuer)
        return _cached(issuer)
    _failed_at.pop(issuer, None)
    _cache[issuer] = _Keys(clock.monotonic(), {str(key.key_id): key.key for key in found if key.key_type == "RSA"})
    return _cache[issuer]


def _cached(issuer: str) -> _Keys:
    try:
        return _cache[issuer]
    except KeyError:
        raise Unauthenticated from None


def _reachable(issuer: str) -> str:
    """The address of an issuer: its own, or for a Cognito pool on an emulator the emulator's."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    pool = urlsplit(issuer)
    if endpoint and (pool.hostname or "").startswith("cognito-idp."):
        return endpoint.rstrip("/") + pool.path
    return issuer.rstrip("/")


def _get_json(url: str) -> dict[str, Any]:
    if urlsplit(url).scheme not in ("https", "http"):
        raise ValueError("an issuer is reached over HTTP")
    with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:  # noqa: S310 - the scheme was checked
        found: dict[str, Any] = json.loads(answer.read(ANSWER_LIMIT_BYTES))
    return found


def _is_for(claims: dict[str, Any], audience: str) -> bool:
    if not audience:
        return False
    if claims.get("token_use") == "access":
        return claims.get("client_id") == audience
    named = claims.get("aud", [])
    return audience in (named if isinstance(named, list) else [named])


def _in_time(claims: dict[str, Any], now: datetime) -> bool:
    seconds = now.timestamp()
    try:
        return (
            seconds < float(claims["exp"]) + LEEWAY_SECONDS and float(claims.get("nbf", 0)) <= seconds + LEEWAY_SECONDS
        )
    except (TypeError, ValueError):
        return False


def _name(claims: dict[str, Any]) -> str:
    """A name that people recognise: user names of a pool that signs in by e-mail address are generated."""
    if claims.get("email") and claims.get("email_verified") in (True, "true"):
        name = str(claims["email"])
    else:
        name = str(claims.get("cognito:username") or claims.get("username") or claims["sub"])
    # OpenID allows no longer subject, and the indexes no longer key.
    if len(name) > ACTOR_CHARACTERS:
        raise Unauthenticated
    return name


def _role(claims: dict[str, Any]) -> str:
    """The highest role among the token's groups; empty when none is a role: such a caller may do nothing."""
    groups = claims.get("cognito:groups") or []
    held = [role for role in LADDER if isinstance(groups, list) and role.value in groups]
    return held[-1].value if held else ""
