"""What a route does: the models it validates with, what it answers, the errors it may give. OpenAPI is made of this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chalicelib.access.actor import Actor, Role
from chalicelib.api.roles import ROLES
from chalicelib.errors import CarillonError

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Call:
    """One request, read and checked: what a view works with."""

    actor: Actor
    # The instant the request was accepted; for a repeat that takes over a broken-off one, the first asking's.
    now: datetime
    body: Any = None
    query: Any = None
    # Unique to this caller, path and Idempotency-Key; ids are made from it.
    key: str | None = None
    # From If-Match.
    revision: int | None = None


View = Callable[..., Any]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    view: View
    summary: str
    # None: the view makes its own Answer, or there is nothing to say.
    answer: type[BaseModel] | None = None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    errors: tuple[type[CarillonError], ...] = ()
    # The largest body taken, where the stage's own limit is too small for it.
    body_limit_bytes: int = 0
    # The answer's revision is sent as ETag, and If-Match is honoured on changes.
    revised: bool = False
    # Where the record made by a POST is found: the field of the answer that ends the path.
    id_field: str | None = None
    # False: a repeat under the same Idempotency-Key does the work again: it changes nothing, and its answer is large.
    keep_answer: bool = True
    # Fields of the answer that are shown once and not kept for a repeat.
    shown_once: tuple[str, ...] = ()

    # Further statuses the view answers with, for OpenAPI: {"302": "…"}.
    more_answers: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.view.__name__

    @property
    def tag(self) -> str:
        return self.view.__module__.rpartition(".")[2]

    @property
    def takes_revision(self) -> bool:
        """Whether If-Match means something: a change of a record that has a revision."""
        return self.revised and self.method in ("PUT", "PATCH", "DELETE")

    @property
    def open(self) -> bool:
        return ROLES.get((self.method, self.path), Role.ADMIN) is None


OPERATIONS: dict[tuple[str, str], Operation] = {}


def operation(method: str, path: str, **facts: Any) -> Callable[[View], View]:
    """`@operation("GET", "/tasks", …)` on a view `(call, **ids of the path)`; `facts` are the fields of Operation."""

    def register(view: View) -> View:
        assert (method, path) not in OPERATIONS, f"two views for {method} {path}"
        OPERATIONS[method, path] = Operation(method=method, path=path, view=view, **facts)
        return view

    return register
