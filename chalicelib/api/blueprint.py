"""Handles every request: checks the role, reads ids, query and body, calls the view, answers, maps errors.

Chalice's middleware does not see the exceptions of views, so one function wraps every view. The modules of views, with
their models and use cases, are imported at their first request: `tick`, `work` and `fire` start without them.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import chalice.app
from chalice.app import Request, Response

from chalicelib import clock, log
from chalicelib.access import tokens
from chalicelib.access.actor import Actor
from chalicelib.api import BASE, errors, idempotency, routes
from chalicelib.api.authorizer import authorize
from chalicelib.api.idempotency import Answer
from chalicelib.api.operation import Call, Operation
from chalicelib.api.request import read_actor, read_body, read_ids, read_json, read_query, read_revision
from chalicelib.api.roles import OPEN, ROLES, may
from chalicelib.errors import Forbidden, Invalid, MethodNotAllowed

if TYPE_CHECKING:
    from pydantic import BaseModel

HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
# The methods that change nothing.
SAFE = frozenset({"GET", "HEAD"})
# An address answers each of these: those that it does not have with 405. API Gateway answers any other with 404.
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Blueprint(chalice.app.Blueprint):
    """Has one route per row of ROLES, so a route without a role does not exist."""

    def add_route(self, method: str, path: str) -> None:
        def handle(**values: str) -> Response:
            return self._handle(method, path, values)

        # No content types: the body itself decides whether it is JSON, not its header.
        options: dict[str, Any] = {"methods": [method], "content_types": [], "name": f"{method} {path}"}
        if ROLES[method, path] is not OPEN:
            options["authorizer"] = authorize
        self.route(path, **options)(handle)

    def refuse_other_methods(self, path: str) -> None:
        allowed = [method for method, known in ROLES if known == path]

        def refuse(**values: str) -> Response:
            answer = errors.answer(MethodNotAllowed(allowed))
            return Response(body=answer.body, status_code=answer.status, headers={**HEADERS, **answer.headers})

        others = [method for method in METHODS if method not in allowed]
        self.route(path, methods=others, content_types=[], name=f"other methods of {path}")(refuse)

    def _handle(self, method: str, path: str, values: dict[str, str]) -> Response:
        request, started = self.current_request, clock.monotonic()
        request_id = request.context.get("requestId")
        log.correlate(request_id)
        caller = read_actor(request)
        try:
            if method not in SAFE:
                # The authorizer's answer may be AUTHORIZER_TTL_SECONDS old: the token may have been revoked since.
                caller = tokens.refreshed(caller, now=clock.now())
            _check_role(method, path, caller)
            answer = _answer(routes.operation(method, path), request, caller, values)
        except Exception as error:
            answer = errors.answer(error)
        log.event(
            "A request was answered",
            method=method,
            path=path,
            ids=values,
            status=answer.status,
            actor=caller.name,
            milliseconds=round((clock.monotonic() - started) * 1000),
        )
        return Response(
            body=answer.body, status_code=answer.status, headers={**HEADERS, **_named(request_id), **answer.headers}
        )


def _named(request_id: str | None) -> dict[str, str]:
    """The id under which the logs have this request."""
    return {} if request_id is None else {"X-Request-Id": request_id}


def _answer(operation: Operation, request: Request, caller: Actor, values: dict[str, str]) -> Answer:
    ids = read_ids(values)
    revision = read_revision(request, taken=operation.takes_revision)
    query = read_query(operation.query, request)
    found = read_json(request, at_least_bytes=operation.body_limit_bytes)
    body = read_body(operation.body, found)

    def do(now: datetime, key: str | None) -> Answer:
        call = Call(actor=caller, now=now, body=body, query=query, key=key, revision=revision)
        return answer_of(operation, operation.view(call, **ids))

    now = clock.now()
    key = request.headers.get(idempotency.HEADER)
    if key is not None and operation.method not in ("POST", *SAFE):
        # A repeat of an edit does no harm, and If-Match tells whether the first was done. To ignore the key would let
        # the caller believe that the first answer comes again.
        raise Invalid("Only a POST takes an Idempotency-Key; send If-Match.", field=idempotency.HEADER)
    if operation.method != "POST" or key is None:
        return do(now, None)
    target = f"POST {operation.path.format(**ids)}"
    payload = {"body": found, "query": None if query is None else query.model_dump(mode="json")}
    return idempotency.once(
        key, actor=caller, target=target, payload=payload, now=now, do=do, keep_answer=operation.keep_answer
    )


def _check_role(method: str, path: str, caller: Actor) -> None:
    try:
        needed = ROLES[method, path]
    except KeyError:
        raise Forbidden("No role may do this.") from None
    if needed is not OPEN and not may(caller.role, needed):
        raise Forbidden(f"This needs the role {needed}; the token's role is {caller.role or 'none'}.")


def answer_of(operation: Operation, value: Any) -> Answer:
    """The HTTP answer for a view's result, validated by the model that documents it."""
    if isinstance(value, Answer):
        return value
    if operation.answer is None:
        return Answer(204)
    shown = operation.answer.model_validate(value)
    headers: dict[str, str] = {}
    if operation.revised and (revision := getattr(shown, "revision", None)) is not None:
        headers["ETag"] = f'"{revision}"'
    if operation.id_field:
        headers["Location"] = f"{BASE}{operation.path}/{getattr(shown, operation.id_field)}"
    kept = _text(shown, operation.shown_once) if operation.shown_once else None
    return Answer(operation.status, _text(shown, ()), headers, kept_body=kept)


def _text(shown: BaseModel, left_out: tuple[str, ...]) -> str:
    """The JSON of an answer; the fields that are left out are null."""
    plain = shown.model_dump(mode="json")
    plain.update(dict.fromkeys(left_out))
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


bp = Blueprint(__name__)
for _method, _path in ROLES:
    bp.add_route(_method, _path)
for _path in dict.fromkeys(path for _, path in ROLES):
    bp.refuse_other_methods(_path)
