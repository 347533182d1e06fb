"""The Lambda authorizer: who speaks, and in which role. What the role may do is decided per route, in `blueprint.py`.

A bad token is denied by policy, and the gateway's answer to that is 401 (infra/gateway.json). To raise "Unauthorized",
which API Gateway maps to 401 too, would be a failed invocation with a traceback for whatever anybody sends.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chalice.app import AuthRequest, AuthResponse, Blueprint

from chalicelib import clock, log
from chalicelib.access import tokens
from chalicelib.access.actor import Actor
from chalicelib.errors import Unauthenticated

# API Gateway keeps an answer this long for the same token: that spares a start of this function for each of a console's
# many requests, and is as long as a revoked token may go on reading. Whoever changes something is looked up each time.
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
    # All routes, since the answer is kept for the token, not for the route.
    context = {"name": actor.name, "role": actor.role, "pool": actor.pool or "", "token_id": actor.token_id or ""}
    return AuthResponse(routes=["*"], principal_id=actor.name, context=context)


def authenticate(header: str, *, now: datetime) -> Actor:
    """The actor of an Authorization header: an API token, or a JWT of the stage's issuer."""
    scheme, _, text = header.strip().partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise Unauthenticated
    if text.startswith(f"{tokens.PREFIX}_"):
        return tokens.verify(text, now=now)
    from chalicelib.api import oidc  # cryptography is heavy, and most calls come with an API token

    return oidc.verify(text, now=now)
