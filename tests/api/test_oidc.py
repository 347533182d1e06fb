"""JWTs of an issuer, signed with a key made here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from chalicelib.api import authorizer, oidc
from chalicelib.errors import Unauthenticated
from chalicelib.settings import Settings

ISSUER = "https://issuer.example/pool"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@cache
def key(number: int = 0) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def public(number: int = 0) -> bytes:
    return (
        key(number)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


class Issuer:
    """Answers what is asked of an issuer, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys = {"k0": 0}
        self.down = False

    def get(self, url: str) -> dict[str, Any]:
        self.asked.append(url)
        if self.down:
            raise OSError("no answer")
        if url.endswith("/openid-configuration"):
            return {"jwks_uri": f"{ISSUER}/.well-known/jwks.json"}
        shown = [
            {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key(n).public_key())), "kid": name, "alg": "RS256"}
            for name, n in self.keys.items()
        ]
        return {"keys": shown}


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    found = Issuer()
    oidc.forget_keys()
    monkeypatch.setattr(oidc, "settings", lambda: Settings(issuer=ISSUER, audience="console"))
    monkeypatch.setattr(oidc, "_get_json", found.get)
    yield found
    oidc.forget_keys()


def token(number: int = 0, *, kid: str = "k0", algorithm: str = "RS256", **changes: Any) -> str:
    claims = {
        "iss": ISSUER,
        "aud": "console",
        "sub": "b7e1",
        "cognito:username": "wei",
        "cognito:groups": ["viewer"],
        "token_use": "id",
        "exp": (NOW + timedelta(hours=1)).timestamp(),
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    secret: Any = key(number) if algorithm == "RS256" else "x" * 64 if algorithm == "HS256" else None
    return jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": kid})


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["viewer"], "viewer"),
        (["viewer", "admin", "editor"], "admin"),  # the highest counts
        (["robot", "operator"], "operator"),  # no person is a robot
        (["robot"], ""),
        (["somebody"], ""),  # may do nothing
        (None, ""),
        ("admin", ""),  # not a list
    ],
)
def test_the_role_is_the_highest_of_the_groups(issuer: Issuer, groups: Any, role: str) -> None:
    actor = oidc.verify(token(**{"cognito:groups": groups}), now=NOW)
    assert (actor.name, actor.role, actor.pool) == ("wei", role, None)


@pytest.mark.parametrize(
    ("verified", "name"), [(True, "wei@example.com"), ("true", "wei@example.com"), (False, "wei"), (None, "wei")]
)
def test_a_person_is_named_by_a_verified_address_only(issuer: Issuer, verified: Any, name: str) -> None:
    claims = {"email": "wei@example.com", "email_verified": verified}
    assert oidc.verify(token(**claims), now=NOW).name == name


def test_a_person_is_known_by_the_subject(issuer: Issuer) -> None:
    """Names may be chosen, and come again; the issuer gives a subject once."""
    first, second = (oidc.verify(token(sub=subject), now=NOW) for subject in ("a-1", "a-2"))
    assert (first.subject, second.subject) == ("a-1", "a-2")
    assert first.name == second.name
    assert first.identity != second.identity


def test_an_access_token_names_its_client(issuer: Issuer) -> None:
    access = {"token_use": "access", "aud": None, "client_id": "console", "cognito:username": None, "username": "li"}
    assert oidc.verify(token(**access), now=NOW).name == "li"


@pytest.mark.parametrize(
    "flaw",
    [
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"exp": (NOW - timedelta(minutes=5)).timestamp()},
        {"exp": None},
        {"nbf": (NOW + timedelta(minutes=5)).timestamp()},
        {"sub": None},
        {"cognito:username": "x" * 256},  # longer than OpenID allows, and than an index's key in four-byte letters
        {"token_use": "access", "client_id": "another"},
        {"token_use": "access"},  # an access token whose `aud` fits but that names no client
        {"number": 1},  # signed with another key
        {"kid": "k9"},  # a key the issuer does not have
        {"algorithm": "HS256"},
        {"algorithm": "none"},
    ],
    ids=lambda flaw: str(flaw)[:60],
)
def test_a_flawed_jwt_is_refused(issuer: Issuer, flaw: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        oidc.verify(token(**flaw), now=NOW)


def test_the_public_key_is_no_shared_secret(issuer: Issuer) -> None:
    import base64
    import hashlib
    import hmac

    _, body, _ = token().split(".")
    forged_head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT","kid":"k0"}').rstrip(b"=").decode()
    signature = hmac.new(public(), f"{forged_head}.{body}".encode(), hashlib.sha256).digest()
    forged = f"{forged_head}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    with pytest.raises(Unauthenticated):
        oidc.verify(forged, now=NOW)


def test_keys_are_fetched_once(issuer: Issuer) -> None:
    for _ in range(3):
        oidc.verify(token(), now=NOW)
    assert len(issuer.asked) == 2


def test_unknown_key_ids_do_not_fetch_the_keys_each_time(issuer: Issuer) -> None:
    for number in range(5):
        with pytest.raises(Unauthenticated):
            oidc.verify(token(kid=f"made-up-{number}"), now=NOW)
    assert len(issuer.asked) == 2


def test_a_new_key_is_found(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    oidc.verify(token(), now=NOW)
    issuer.keys = {"k1": 1}
    monkeypatch.setattr(oidc, "FETCH_AGAIN_SECONDS", -1.0)
    assert oidc.verify(token(1, kid="k1"), now=NOW).name == "wei"


def test_known_keys_stay_good_while_the_issuer_is_down(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    oidc.verify(token(), now=NOW)
    issuer.down = True
    monkeypatch.setattr(oidc, "KEYS_CACHED_SECONDS", -1.0)
    assert oidc.verify(token(), now=NOW).name == "wei"
    oidc.forget_keys()
    with pytest.raises(Unauthenticated):
        oidc.verify(token(), now=NOW)


@pytest.mark.parametrize("known", [True, False], ids=["its keys are known", "its keys are not known"])
def test_an_issuer_that_is_down_is_not_asked_by_each_request(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    if known:
        oidc.verify(token(), now=NOW)
        # Old keys, and a key id that is not known: each would be a reason to ask.
        monkeypatch.setattr(oidc, "KEYS_CACHED_SECONDS", -1.0)
        monkeypatch.setattr(oidc, "FETCH_AGAIN_SECONDS", -1.0)
    issuer.down, issuer.asked = True, []
    for number in range(5):
        with pytest.raises(Unauthenticated):
            oidc.verify(token(kid=f"k{number + 1}"), now=NOW)
    assert len(issuer.asked) == 1


def test_an_issuer_that_was_down_is_asked_again(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer.down = True
    with pytest.raises(Unauthenticated):
        oidc.verify(token(), now=NOW)
    issuer.down = False
    later = oidc.clock.monotonic() + oidc.DOWN_SECONDS + 1
    monkeypatch.setattr(oidc.clock, "monotonic", lambda: later)
    assert oidc.verify(token(), now=NOW).name == "wei"


def test_without_an_issuer_every_jwt_is_refused(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "settings", lambda: Settings())
    with pytest.raises(Unauthenticated):
        oidc.verify(token(), now=NOW)


def test_a_bearer_jwt_reaches_the_authorizer(issuer: Issuer) -> None:
    assert authorizer.authenticate(f"bearer {token()}", now=NOW).name == "wei"


@pytest.mark.parametrize(
    ("endpoint", "issuer_url", "asked"),
    [
        ("", "https://cognito-idp.eu-west-1.amazonaws.com/p_1", "https://cognito-idp.eu-west-1.amazonaws.com/p_1"),
        ("http://127.0.0.1:4566", "https://cognito-idp.eu-west-1.amazonaws.com/p_1", "http://127.0.0.1:4566/p_1"),
        ("http://127.0.0.1:4566", "https://issuer.example/pool/", "https://issuer.example/pool"),
    ],
)
def test_an_issuer_is_called_at_the_address_that_reaches_it(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, issuer_url: str, asked: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert oidc._reachable(issuer_url) == asked
