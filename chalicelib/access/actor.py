"""Who acts. The roles of people form a ladder; a robot has a role beside it and may do only what robots do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"  # sees everything but tokens and the audit
    OPERATOR = "operator"  # also starts, cancels, re-runs and re-prioritises
    EDITOR = "editor"  # also defines tasks, reports and calendars
    ADMIN = "admin"  # also sources and their secrets, tokens, and reads the audit
    ROBOT = "robot"  # claims and reports work of its own pool, nothing else


LADDER = (Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN)


@dataclass(frozen=True)
class Actor:
    """The caller of a use case. `role` is a Role's value; `pool` a robot's own; `token_id` an API token's, if any."""

    name: str
    role: str
    pool: str | None = None
    token_id: str | None = None


def allows(held: str, needed: Role) -> bool:
    """Whether a role may do what needs `needed`. An unknown role may do nothing."""
    if Role.ROBOT in (held, needed):
        return held == needed
    return held in LADDER and LADDER.index(Role(held)) >= LADDER.index(needed)
