"""OpenAPI 3.1, generated from the operations and the models that validate requests and answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from chalicelib import errors
from chalicelib.api import BASE, VERSION, routes
from chalicelib.api import errors as answers
from chalicelib.api.models.errors import ErrorBody
from chalicelib.api.operation import Operation
from chalicelib.api.roles import ROLES

REFERENCE = "#/components/schemas/{model}"
DESCRIPTION = (
    "A serverless task centre. Instants are RFC 3339 in UTC with `Z`. Every error has the shape of `ErrorBody`. "
    "`Idempotency-Key` on a POST makes it safe to repeat for 24 hours; `If-Match` with an ETag refuses an edit of "
    "what another request edited first, on the operations that show it; the others refuse the header with 422."
)
_PATH_ID = re.compile(r"\{(\w+)\}")
_DESCRIPTIONS = {400: "Malformed", 401: "No valid token", 403: "The role may not do this", 404: "No such record",
          409: "The record's state does not allow this", 412: "Edited since it was read", 413: "The body is too large",
          422: "A field's value cannot be accepted", 429: "Too many requests",
          503: "A service did not answer"}  # fmt: skip


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    operations = routes.operations()
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Carillon",
            "version": VERSION,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": BASE}],
        "security": [{"bearer": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API token (`carillon_…`), or a JWT of the stage's issuer.",
                }
            },
        },
    }


def _models(operations: list[Operation]) -> dict[tuple[type[BaseModel], Any], None]:
    found: dict[tuple[type[BaseModel], Any], None] = {(ErrorBody, "serialization"): None}
    for operation in operations:
        if operation.body is not None:
            found[operation.body, "validation"] = None
        if operation.answer is not None:
            found[operation.answer, "serialization"] = None
    return found


def _schemas() -> dict[str, Any]:
    _, document = _described()
    schemas: dict[str, Any] = document["$defs"]
    schemas[ErrorBody.__name__]["properties"]["Code"]["enum"] = list(answers.codes())
    return schemas


@lru_cache(maxsize=1)
def _described() -> tuple[Mapping[Any, dict[str, Any]], dict[str, Any]]:
    """Each model's reference, and the schemas. Models of one name get longer ones, so all are named together."""
    return models_json_schema(list(_models(routes.operations())), ref_template=REFERENCE)


def _references() -> Mapping[Any, dict[str, Any]]:
    return _described()[0]


def _operation(operation: Operation) -> dict[str, Any]:
    role = ROLES.get((operation.method, operation.path))
    shown: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.view.__doc__:
        shown["description"] = operation.view.__doc__
    if role is None:
        shown["security"] = []
    else:
        shown["x-role"] = role.value
    if operation.body is not None:
        required = any(field.is_required() for field in operation.body.model_fields.values())
        shown["requestBody"] = {
            "required": required,
            "content": {"application/json": _body(operation.body)},
        }
    return shown


def _body(model: type[BaseModel]) -> dict[str, Any]:
    shown: dict[str, Any] = {"schema": _references()[model, "validation"]}
    examples = _described()[1]["$defs"][shown["schema"]["$ref"].removeprefix(REFERENCE.format(model=""))].get(
        "examples"
    )
    return {**shown, "example": examples[0]} if examples else shown


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
        }
        for name in _PATH_ID.findall(operation.path)
    ]
    if operation.query is not None:
        schema = operation.query.model_json_schema(ref_template=REFERENCE)
        for name, property_schema in schema["properties"].items():
            inlined = _inlined(property_schema, schema.get("$defs", {}))
            description = inlined.pop("description", None)
            parameter = {"name": name, "in": "query", "required": name in schema.get("required", []), "schema": inlined}
            shown.append({**parameter, "description": description} if description else parameter)
    if operation.method == "POST":
        shown.append(_header("Idempotency-Key", "Makes this request safe to repeat for 24 hours.", "^[!-~]{1,255}$"))
    if operation.takes_revision:
        description = "The ETag of the record as it was read; a stale one answers 412."
        shown.append(_header("If-Match", description, r'^(\*|(W/)?"[0-9]{1,12}"|[0-9]{1,12})$'))
    return shown


def _header(name: str, description: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with its references replaced: the schemas of parameters are short."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
        return {key: _inlined(value, definitions) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    return schema


def _responses(operation: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    status = operation.status if operation.answer is not None or operation.status != 200 else 204
    if operation.path == "/openapi.json":
        shown["200"] = {"description": "Done", "content": {"application/json": {"schema": {"type": "object"}}}}
    elif operation.answer is None and str(operation.status) not in operation.more_answers:
        shown[str(status)] = {"description": "Done"}
    elif operation.answer is not None:
        schema = _references()[operation.answer, "serialization"]
        shown[str(status)] = {"description": "Done", "content": {"application/json": {"schema": schema}}}
        if operation.revised:
            shown[str(status)]["headers"] = {"ETag": {"schema": {"type": "string"}}}
    for extra, description in operation.more_answers.items():
        shown[extra] = {"description": description}
    for number, codes in sorted(_error_codes(operation).items()):
        shown.setdefault(
            str(number),
            {
                "description": f"{_DESCRIPTIONS[number]}: {', '.join(codes)}",
                "content": {"application/json": {"schema": {"$ref": REFERENCE.format(model="ErrorBody")}}},
            },
        )
    return shown


def _error_codes(operation: Operation) -> dict[int, list[str]]:
    """Each error status of this operation, with its codes."""
    found: list[type[errors.CarillonError]] = list(operation.errors)
    if not operation.open:
        found += [errors.Unauthenticated, errors.Forbidden, errors.Unavailable]
    found.append(errors.Invalid)
    if operation.body is not None:
        found += [errors.Malformed, errors.BodyTooLarge]
    if "{" in operation.path:
        found.append(errors.NotFound)
    if operation.method == "POST":
        found += [errors.WrongState, errors.RequestInProgress]
    if operation.takes_revision:
        found.append(errors.StaleRevision)
    codes: dict[int, list[str]] = {}
    for error in dict.fromkeys(found):
        codes.setdefault(answers.status_of(error), []).append(error.__name__)
    return codes
