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
    """The caller of a use case. `role` is a Role's value; `pool` a robot's own; `token_id` an API token's, if any;
    `subject` that of a JWT, if any.

    A name is for people: several tokens may have one name. `identity` tells callers apart.
    """

    name: str
    role: str
    pool: str | None = None
    token_id: str | None = None
    subject: str | None = None

    @property
    def identity(self) -> str:
        if self.token_id is not None:
            return f"token|{self.token_id}"
        return f"name|{self.name}" if self.subject is None else f"subject|{self.subject}"


def allows(held: str, needed: Role) -> bool:
    """Whether a role may do what needs `needed`. An unknown role may do nothing."""
    if Role.ROBOT in (held, needed):
        return held == needed
    return held in LADDER and LADDER.index(Role(held)) >= LADDER.index(needed)
