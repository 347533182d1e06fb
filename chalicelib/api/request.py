"""Reads a request: ids, query, body and headers. Each function raises an error that names the field at fault."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, get_args

from chalice.app import MultiDict, Request
from pydantic_core import ValidationError

from chalicelib.access.actor import Actor
from chalicelib.api import errors
from chalicelib.errors import BodyTooLarge, FieldProblem, Invalid, Malformed, NotFound
from chalicelib.settings import settings

if TYPE_CHECKING:
    from pydantic import BaseModel

IF_MATCH = "If-Match"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ETAG = re.compile(r'(?:W/)?"(\d{1,12})"|(\d{1,12})')

# Objects and lists inside each other. What reads and writes them calls itself once for each.
DEEPEST = 32
# Characters of a field's name in an answer.
LONGEST_NAME = 200


def read_actor(request: Request) -> Actor:
    """The caller: the authorizer puts it into the request's context."""
    found = request.context.get("authorizer") or {}
    return Actor(
        name=found.get("name") or "nobody",
        role=found.get("role") or "",
        pool=found.get("pool") or None,
        token_id=found.get("token_id") or None,
        subject=found.get("subject") or None,
    )


def read_ids(values: dict[str, str]) -> dict[str, str]:
    """The ids of the path. NotFound for text that cannot be an id."""
    for value in values.values():
        if not _ID.fullmatch(value):
            raise NotFound("There is no record with this id.")
    return values


def read_json(request: Request, *, at_least_bytes: int = 0) -> dict[str, Any] | None:
    """The body as a JSON object; None when it is empty. The limit is the stage's, or `at_least_bytes` when larger."""
    raw = request.raw_body
    raw = raw.encode() if isinstance(raw, str) else raw
    limit = max(settings().body_limit_bytes, at_least_bytes)
    if len(raw) > limit:
        raise BodyTooLarge(f"The body has {len(raw)} bytes; the limit is {limit}.")
    if not raw.strip():
        return None
    try:
        # Encoding again refuses lone surrogates: JSON can hold them, but no table can store them.
        found = json.loads(
            raw.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_NumberText,
            object_pairs_hook=_without_repeats,
        )
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise Malformed("The body is nested far too deep.", field="body") from error
    except ValueError as error:
        raise Malformed("The body is not JSON.") from error
    if not isinstance(found, dict):
        raise Malformed("The body must be a JSON object.")
    problems: list[FieldProblem] = []
    read: dict[str, Any] = _numbers(found, (), problems)
    if problems:
        raise Invalid(f"{problems[0].field}: {problems[0].message}", problems=problems)
    return read


class _NumberText(str):
    """The text of a JSON number with a point or an exponent."""


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            shown = name[:LONGEST_NAME].encode("utf-8", "replace").decode()
            raise Malformed(f"The key {shown!r} comes twice in one object.", field=shown)
        found[name] = value
    return found


def _numbers(value: Any, path: tuple[str, ...], problems: list[FieldProblem]) -> Any:
    """The value with its numbers read. A number that a float would round becomes a problem of its field, and so does
    what lies too deep.
    """
    if len(problems) >= errors.MOST_PROBLEMS:
        return None
    if isinstance(value, dict | list) and len(path) >= DEEPEST:
        problems.append(FieldProblem(_name(path), f"Objects and lists may lie {DEEPEST} deep at most."))
        return None
    if isinstance(value, dict):
        return {name: _numbers(item, (*path, name), problems) for name, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item, (*path, str(number)), problems) for number, item in enumerate(value)]
    if not isinstance(value, _NumberText):
        return value
    number = float(value)
    try:
        exact = Decimal(value) == Decimal(repr(number))
    except InvalidOperation:
        exact = False
    if not exact:
        message = "This number would be rounded, having too many digits or too large an exponent: send it as text."
        problems.append(FieldProblem(_name(path), message))
    return number


def _name(path: tuple[str, ...]) -> str:
    """A field's name: of a long path the beginning."""
    name = ".".join(path)
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…"


def read_body(model: type[BaseModel] | None, found: dict[str, Any] | None) -> BaseModel | None:
    if model is None:
        if found:
            raise Invalid("This request takes no body.", field=_name((next(iter(found)),)))
        return None
    return model.model_validate_json(json.dumps(found or {}))


def read_query(model: type[BaseModel] | None, request: Request) -> BaseModel | None:
    """The query's parameters. A parameter may repeat only where the model has a list."""
    given = MultiDict({}) if request.query_params is None else request.query_params
    fields = {} if model is None else model.model_fields
    values: dict[str, Any] = {}
    for name in given:
        if name not in fields:
            raise Invalid("There is no such query parameter.", field=name)
        several = given.getlist(name)
        if _is_instant(fields[name].annotation) and given[name][4:5] != "-":
            # pydantic takes text that is a number for seconds since 1970.
            raise Invalid(f"{name}: an instant such as 2026-03-08T07:00:00Z is needed.", field=name)
        if _is_list(fields[name].annotation):
            values[name] = several
        elif len(several) > 1:
            raise Invalid("Give this parameter once.", field=name)
        else:
            values[name] = several[0]
    try:
        return None if model is None else model.model_validate(values)
    except ValidationError as error:
        # A problem of one value of a list has the name of the parameter, without its number in the list.
        raise errors.from_validation_error(error, depth=1) from None


def _is_list(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is list


def _is_instant(annotation: Any) -> bool:
    from pydantic import AwareDatetime

    return annotation is AwareDatetime or any(map(_is_instant, get_args(annotation)))


def read_revision(request: Request, *, taken: bool) -> int | None:
    """The revision in If-Match; None when the header is absent or `*`.

    Invalid for an operation that ignores the header (`taken` is False): the caller would believe the condition held.
    """
    header = request.headers.get(IF_MATCH)
    if header is not None and not taken:
        raise Invalid("This request takes no If-Match.", field=IF_MATCH)
    text = "*" if header is None else header.strip()
    if text == "*":
        return None
    etag = _ETAG.fullmatch(text)
    if etag is None:
        raise Invalid('If-Match takes the ETag of the record, such as "3".', field=IF_MATCH)
    return int(etag.group(1) or etag.group(2))
