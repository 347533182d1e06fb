"""The Lambda authorizer: finds the caller and the role of a token. `blueprint.py` checks the role per route.

A bad token gets a policy that denies, which the gateway answers with 401 (infra/gateway.json). Raising "Unauthorized"
would give a 401 too, but each bad token would then be a failed invocation with a traceback in the log.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chalice.app import AuthRequest, AuthResponse, Blueprint

from chalicelib import clock, log
from chalicelib.access import tokens
from chalicelib.access.actor import Actor
from chalicelib.errors import Unauthenticated

# API Gateway keeps the answer for a token this long, so that the many requests of one console start this function once.
# A revoked token can read for as long; requests that change something look the token up every time.
AUTHORIZER_TTL_SECONDS = 30
DENIED = {
    "principalId": "nobody",
    "policyDocument": {
        "Version": "2012-10-17",
        "Statement": [{"Action": "execute-api:Invoke", "Effect": "Deny", "Resource": "*"}],
    },
}

bp = Blueprint(__name__)


@bp.authorizer(name="authorize", ttl_seconds=AUTHORIZER_TTL_SECONDS)
def authorize(request: AuthRequest) -> AuthResponse | dict[str, Any]:
    try:
        actor = authenticate(request.token, now=clock.now())
    except Unauthenticated:
        log.event("A token was not accepted", level="WARN")
        return DENIED
    # All routes: API Gateway keeps the answer per token, not per route.
    context = {
        "name": actor.name,
        "role": actor.role,
        "pool": actor.pool or "",
        "token_id": actor.token_id or "",
        "subject": actor.subject or "",
    }
    return AuthResponse(routes=["*"], principal_id=actor.name, context=context)


def authenticate(header: str, *, now: datetime) -> Actor:
    """The actor of an Authorization header: an API token, or a JWT of the stage's issuer."""
    scheme, _, text = header.strip().partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise Unauthenticated
    if text.startswith(f"{tokens.PREFIX}_"):
        return tokens.verify(text, now=now)
    from chalicelib.api import oidc  # cryptography is slow to import, and most calls have an API token

    return oidc.verify(text, now=now)
