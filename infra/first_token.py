"""`python -m infra.first_token --stage prod`: make the first admin token of a stage, whose holder can make all others.

It needs AWS credentials that may write the stage's tokens and audit tables; everything after it goes through the API.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime


def make(stack: str, *, name: str) -> str:
    """A new admin token, shown only here. Reads the AWS configuration of the environment."""
    os.environ["CARILLON_TABLES"] = stack
    from chalicelib.access import tokens
    from chalicelib.access.actor import Actor, Role
    from chalicelib.settings import settings

    settings.cache_clear()
    actor = Actor(name="setup", role=Role.ADMIN)
    _, token = tokens.create(name=name, role=Role.ADMIN, pool=None, expires_at=None, actor=actor, now=datetime.now(UTC))
    assert token is not None, "without an idempotency key a token is always new"
    return token


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.first_token", description=__doc__)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--name", default="first admin")
    given = parser.parse_args()
    print(make(f"carillon-{given.stage}", name=given.name))


if __name__ == "__main__":
    main()
