"""Reads a request: body, query and headers, each refused with the name of what is wrong."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from chalice.app import MultiDict, Request

from chalicelib.actor import Actor
from chalicelib.errors import BodyTooLarge, Invalid, Malformed, NotFound
from chalicelib.settings import settings

if TYPE_CHECKING:
    from pydantic import BaseModel

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ETAG = re.compile(r'(?:W/)?"(\d{1,12})"|(\d{1,12})')


def actor(request: Request) -> Actor:
    """The caller, as the authorizer put it into the request's context."""
    found = request.context.get("authorizer") or {}
    return Actor(name=found.get("name") or "nobody", role=found.get("role") or "", pool=found.get("pool") or None)


def ids(values: dict[str, str]) -> dict[str, str]:
    """The path's ids. One that cannot be an id is not found, whatever it holds."""
    for value in values.values():
        if not _ID.fullmatch(value):
            raise NotFound("There is no record with this id.")
    return values


def json_body(request: Request) -> dict[str, Any] | None:
    """The body as a JSON object; None when there is none."""
    raw = request.raw_body
    raw = raw.encode() if isinstance(raw, str) else raw
    limit = settings().body_limit_bytes
    if len(raw) > limit:
        raise BodyTooLarge(f"The body has {len(raw)} bytes; the limit is {limit}.")
    if not raw.strip():
        return None
    try:
        # Encoding again refuses lone surrogates, which JSON can write but nothing can store.
        found = json.loads(raw.decode("utf-8"), parse_constant=_refuse)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Malformed("The body is not JSON.") from error
    if not isinstance(found, dict):
        raise Malformed("The body must be a JSON object.")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def body(model: type[BaseModel] | None, found: dict[str, Any] | None) -> BaseModel | None:
    if model is None:
        if found:
            raise Invalid("This request takes no body.", field=next(iter(found)))
        return None
    return model.model_validate_json(json.dumps(found or {}))


def query(model: type[BaseModel] | None, request: Request) -> BaseModel | None:
    """The query's parameters. One that repeats is a list, and is refused where one value belongs."""
    given = MultiDict({}) if request.query_params is None else request.query_params
    fields = {} if model is None else model.model_fields
    values: dict[str, Any] = {}
    for name in given:
        if name not in fields:
            raise Invalid("There is no such query parameter.", field=name)
        several = given.getlist(name)
        if _is_list(fields[name].annotation):
            values[name] = several
        elif len(several) > 1:
            raise Invalid("Give this parameter once.", field=name)
        else:
            values[name] = several[0]
    return None if model is None else model.model_validate(values)


def _is_list(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is list


def revision(request: Request) -> int | None:
    """The revision in If-Match; None when the header is absent or `*`."""
    text = (request.headers.get("if-match") or "").strip()
    if text in ("", "*"):
        return None
    shape = _ETAG.fullmatch(text)
    if shape is None:
        raise Invalid('If-Match takes the ETag of the record, such as "3".', field="If-Match")
    return int(shape.group(1) or shape.group(2))
