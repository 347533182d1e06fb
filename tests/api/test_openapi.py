from __future__ import annotations

import json
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from chalicelib.access.actor import Role
from chalicelib.api import openapi, routes
from chalicelib.api.errors import codes
from chalicelib.api.roles import OPEN, ROLES
from chalicelib.sources.postgres.settings import PostgresSettings
from chalicelib.sources.registry import SOURCES
from chalicelib.sources.sqlite.source import SqliteSettings
from tests.support.http import Http, as_role

DOCUMENT = openapi.document()


def test_it_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_route_is_described_and_nothing_else() -> None:
    described = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert described == set(ROLES)


def test_the_openapi_document_needs_no_token() -> None:
    reply = Http().get("/openapi.json")
    assert reply.status == 200
    assert reply.json == DOCUMENT


def test_an_operation_says_its_role_its_errors_and_its_headers() -> None:
    for (method, path), role in ROLES.items():
        _says_all(method, path, role)


def _says_all(method: str, path: str, role: Role | None) -> None:
    shown = DOCUMENT["paths"][path][method.lower()]
    parameters = {parameter["name"] for parameter in shown["parameters"]}
    if role is OPEN:
        assert shown["security"] == []
    else:
        assert shown["x-role"] == role
        assert {"401", "403", "503"} <= set(shown["responses"])
    assert ("Idempotency-Key" in parameters) == (method == "POST")
    if "requestBody" in shown:
        assert {"400", "413", "422"} <= set(shown["responses"])
    assert shown["summary"]


def test_the_codes_of_errors_are_an_enum() -> None:
    told = set(DOCUMENT["components"]["schemas"]["ErrorBody"]["properties"]["Code"]["enum"])
    assert told == set(codes())
    for item in DOCUMENT["paths"].values():
        for shown in item.values():
            for status, response in shown["responses"].items():
                if "ErrorBody" in str(response):
                    named = response["description"].split(": ", 1)[1].split(", ")
                    assert {code: codes()[code] for code in named} == dict.fromkeys(named, int(status))


def test_every_schema_is_used_and_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    used = set(references(DOCUMENT))
    assert used == set(schemas)


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"].removeprefix("#/components/schemas/")] if isinstance(value.get("$ref"), str) else []
        return own + [name for item in value.values() for name in references(item)]
    if isinstance(value, list):
        return [name for item in value for name in references(item)]
    return []


def test_a_password_is_described_as_write_only() -> None:
    shown = DOCUMENT["components"]["schemas"]["SourceIn"]["properties"]["password"]
    assert "writeOnly" in str(shown)
    assert "password" not in DOCUMENT["components"]["schemas"]["SourceOut"]["properties"]


def test_the_settings_of_each_kind_of_source_are_described() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    kinds = schemas["SourceIn"]["properties"]["settings"]["anyOf"]
    shown = [set(schemas[kind["$ref"].rsplit("/", 1)[-1]]["properties"]) for kind in kinds]
    assert shown[:2] == [set(PostgresSettings.model_fields), set(SqliteSettings.model_fields)]
    assert len(shown) == len(SOURCES)


def test_every_post_with_a_body_has_an_example_that_its_model_accepts() -> None:
    for operation in routes.operations():
        if operation.method != "POST" or operation.body is None:
            continue
        shown = DOCUMENT["paths"][operation.path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert shown, operation.path
        operation.body.model_validate_json(json.dumps(shown))


@pytest.mark.usefixtures("world")
def test_the_examples_are_accepted() -> None:
    """In this order each finds what it names; the ids in them are those of a record made here."""
    admin = as_role(Role.ADMIN)
    ids: dict[str, str] = {}
    for path, key in (
        ("/sources", "source_id"), ("/reports", "report_id"), ("/tasks", "task_id"), ("/tasks/{task_id}/run", "job_id"),
        ("/tasks/{task_id}/disable", None), ("/tasks/{task_id}/enable", None), ("/calendars", None), ("/tokens", None),
        ("/schedules/preview", None), ("/jobs/batch", None),
    ):  # fmt: skip
        body = dict(DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"])
        if "source_id" in body:
            body["source_id"] = ids["source_id"]
        if "report_id" in body.get("spec", {}):
            body["spec"] = body["spec"] | {"report_id": ids["report_id"]}
        reply = admin.post(path.format(**ids), body)
        assert reply.status < 300, (path, reply.raw)
        if key:
            ids[key] = reply.json[key]
