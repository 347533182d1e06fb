"""The tables are declared once, in infra/tables.json; every pynamodb model is what is declared there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pynamodb.attributes import Attribute, TTLAttribute
from pynamodb.indexes import Index
from pynamodb.models import Model

from chalicelib.settings import settings
from chalicelib.store import (
    audit,
    batches,
    catalogue,
    idempotency,
    job_record,
    logs,
    pools,
    runs,
    task_names,
    task_record,
    tokens,
)
from tests.support.world import TABLES

MODELS: list[type[Model]] = [
    audit.AuditRecord, batches.BatchRecord, catalogue.CalendarRecord, catalogue.ReportRecord, catalogue.SourceRecord,
    job_record.JobRecord, logs.LogRecord, task_names.NameRecord, pools.PoolRecord, idempotency.RequestRecord,
    runs.RunRecord, task_record.TaskRecord, tokens.TokenRecord,
]  # fmt: skip
# Declared for the kinds of task that use them; nothing reads or writes them yet.
WITHOUT_MODEL = {"accounts", "robots"}


def declared() -> dict[str, dict[str, Any]]:
    resources = json.loads(TABLES.read_text())["Resources"].values()
    tables = [each["Properties"] for each in resources if each["Type"] == "AWS::DynamoDB::Table"]
    return {each["TableName"]["Fn::Sub"].removeprefix("${AWS::StackName}-"): each for each in tables}


def name_of(model: type[Model]) -> str:
    return str(model.Meta.table_name).removeprefix(f"{settings().tables}-")


def keys_of(attributes: dict[str, Attribute[Any]]) -> list[dict[str, str | None]]:
    keys: list[tuple[str | None, str]] = [(each.attr_name, "HASH") for each in attributes.values() if each.is_hash_key]
    keys += [(each.attr_name, "RANGE") for each in attributes.values() if each.is_range_key]
    return [{"AttributeName": name, "KeyType": kind} for name, kind in keys]


def test_every_declared_table_has_a_model_and_the_other_way_round() -> None:
    assert {name_of(model) for model in MODELS} == set(declared()) - WITHOUT_MODEL


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_a_model_has_the_keys_of_its_table(model: type[Model]) -> None:
    table = declared()[name_of(model)]
    attributes = model.get_attributes()
    assert keys_of(attributes) == table["KeySchema"]
    by_column = {each.attr_name: each for each in attributes.values()}
    for each in table["AttributeDefinitions"]:
        assert by_column[each["AttributeName"]].attr_type == each["AttributeType"]


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_a_model_has_the_indexes_of_its_table(model: type[Model]) -> None:
    table = declared()[name_of(model)]
    indexes: list[Index[Any]] = list(model._indexes.values())
    shown = {}
    for index in indexes:
        schema = type(index)._get_schema()
        projection = schema["projection"]
        shown[schema["index_name"]] = (
            sorted(schema["key_schema"], key=lambda key: str(key["KeyType"])),
            projection["ProjectionType"],
            sorted(projection.get("NonKeyAttributes", [])),
        )
    expected = {
        each["IndexName"]: (
            each["KeySchema"],
            each["Projection"]["ProjectionType"],
            sorted(each["Projection"].get("NonKeyAttributes", [])),
        )
        for each in table.get("GlobalSecondaryIndexes", [])
    }
    assert shown == expected


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_records_that_expire_do_so_by_the_declared_attribute(model: type[Model]) -> None:
    expires = any(isinstance(each, TTLAttribute) for each in model.get_attributes().values())
    declared_ttl = declared()[name_of(model)].get("TimeToLiveSpecification")
    assert declared_ttl == ({"AttributeName": "expires_at", "Enabled": True} if expires else None)
