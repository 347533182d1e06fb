"""An operation: a route with its view, models, errors and headers. OpenAPI is generated from operations."""

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
    """One request after it was read and checked, as its view gets it."""

    actor: Actor
    # When the request was accepted. A repeat that continues an interrupted request has the time of the first one.
    now: datetime
    body: Any = None
    query: Any = None
    # Derived from the caller, the path and the Idempotency-Key; ids of new records are derived from it.
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
    # None: the view returns an Answer itself, or the answer has no body.
    answer: type[BaseModel] | None = None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    errors: tuple[type[CarillonError], ...] = ()
    # The largest body that is accepted, when the stage's limit is smaller.
    body_limit_bytes: int = 0
    # The answer's revision is sent as ETag, and changes check If-Match.
    revised: bool = False
    # The field of the answer with the id of the record that a POST made; the Location header ends in it.
    id_field: str | None = None
    # False: a repeat under the same Idempotency-Key runs the view again. For views that change nothing and answer much.
    keep_answer: bool = True
    # Fields of the answer that are shown once: the answer that is stored for repeats has null.
    shown_once: tuple[str, ...] = ()
    # Further statuses of the view's answers, for OpenAPI: {"302": "…"}.
    more_answers: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.view.__name__

    @property
    def tag(self) -> str:
        return self.view.__module__.rpartition(".")[2]

    @property
    def takes_revision(self) -> bool:
        """Whether If-Match is allowed: on a change of a record that has a revision."""
        return self.revised and self.method in ("PUT", "PATCH", "DELETE")

    @property
    def open(self) -> bool:
        return ROLES.get((self.method, self.path), Role.ADMIN) is None


OPERATIONS: dict[tuple[str, str], Operation] = {}


def operation(method: str, path: str, **facts: Any) -> Callable[[View], View]:
    """Registers a view `(call, **ids of the path)`: `@operation("GET", "/tasks", …)`, with fields of Operation."""

    def register(view: View) -> View:
        assert (method, path) not in OPERATIONS, f"two views for {method} {path}"
        OPERATIONS[method, path] = Operation(method=method, path=path, view=view, **facts)
        return view

    return register
