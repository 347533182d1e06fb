from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from infra.package import ROOT
from tests.infra.conftest import FUNCTIONS, Resources

# What no function may do with any resource.
NEVER = re.compile(r"DeleteTable|CreateTable|DeleteBucket|PutBucketPolicy|DeleteQueue|iam:|sts:|kms:|PutRolePolicy")

CODE_SERVICES = {"dynamodb", "sqs", "s3", "secretsmanager", "logs", "events"}


def statements(function: str) -> list[dict[str, Any]]:
    policy = json.loads((ROOT / ".chalice" / f"policy-{function}.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def everything() -> Iterator[tuple[str, dict[str, Any]]]:
    for function in FUNCTIONS:
        yield from ((function, statement) for statement in statements(function))


def pattern(resource: Any) -> str:
    """The text of an ARN, with what an intrinsic fills in left as it is."""
    if isinstance(resource, dict):
        return json.dumps(resource.get("Fn::Sub", resource.get("Fn::GetAtt")))
    return str(resource)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_action_is_named(function: str) -> None:
    for statement in statements(function):
        for action in statement["Action"]:
            assert "*" not in action
            assert not NEVER.search(action)
            assert action.partition(":")[0] in CODE_SERVICES


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_resource_is_the_stacks_own(function: str) -> None:
    for statement in statements(function):
        assert isinstance(statement["Resource"], list)
        for resource in statement["Resource"]:
            # An intrinsic names the stack; a star may only stand for what is below a named prefix of it.
            assert isinstance(resource, dict), resource
            assert re.fullmatch(r'(\[".*"\]|".*[^*]|".*(/|-task-)\*")"?', pattern(resource)), resource


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_writes_its_own_log_only(function: str) -> None:
    groups = [statement["Resource"] for statement in statements(function) if statement["Action"][0].startswith("logs:")]
    assert groups == [[{"Fn::GetAtt": [f"{function.capitalize()}LogGroup", "Arn"]}]]


def test_the_authorizer_sees_tokens_only() -> None:
    tables = [each for each in statements("authorize") if each["Action"][0].startswith("dynamodb:")]
    assert [each["Resource"] for each in tables] == [[{"Fn::GetAtt": ["TokensTable", "Arn"]}]]


@pytest.mark.parametrize("function", sorted(set(FUNCTIONS) - {"api", "work"}))
def test_only_api_and_work_reach_secrets(function: str) -> None:
    assert not [each for each in statements(function) if each["Action"][0].startswith("secretsmanager:")]


def test_only_the_api_reads_tables_whole_and_only_small_ones() -> None:
    scans = [(function, each["Resource"]) for function, each in everything() if "dynamodb:Scan" in each["Action"]]
    assert {function for function, _ in scans} == {"api"}
    tables = {resource["Fn::GetAtt"][0] for _, found in scans for resource in found}
    assert tables == {"TasksTable", "ReportsTable", "SourcesTable", "CalendarsTable", "PoolsTable", "TokensTable"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_audit_is_added_to_and_never_changed(function: str) -> None:
    changing = {"dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}
    for statement in statements(function):
        if {"Fn::GetAtt": ["AuditTable", "Arn"]} in statement["Resource"]:
            assert not changing & set(statement["Action"])


def test_no_one_in_the_account_changes_the_audit(resources: Resources) -> None:
    (statement,) = resources["AuditTable"]["Properties"]["ResourcePolicy"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert {"dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"} <= set(statement["Action"])
    assert "dynamodb:PutItem" not in statement["Action"]


def test_a_rule_starts_nothing_but_fire() -> None:
    putting = [each for _, each in everything() if "events:PutTargets" in each["Action"]]
    assert len(putting) == 2
    for statement in putting:
        assert statement["Action"] == ["events:PutTargets"]
        # A call may put several targets: each must be this one.
        only = {"ForAllValues:ArnEquals": {"events:TargetArn": {"Fn::GetAtt": ["Fire", "Arn"]}}}
        assert only.items() <= statement["Condition"].items()
        assert statement["Condition"]["Null"] == {"events:TargetArn": "false"}


@pytest.mark.parametrize("table", ["AccountsTable", "RobotsTable"])
def test_no_function_reaches_a_table_that_no_code_uses(table: str) -> None:
    assert not [function for function, each in everything() if {"Fn::GetAtt": [table, "Arn"]} in each["Resource"]]


def test_only_work_writes_files() -> None:
    writers = [(function, each["Resource"]) for function, each in everything() if "s3:PutObject" in each["Action"]]
    logs = [{"Fn::Sub": "${FilesBucket.Arn}/logs/*"}]
    assert [function for function, resource in writers if resource != logs] == ["work"]
    assert {function for function, resource in writers if resource == logs} == {"api", "sweep", "work"}


def test_policies_become_the_roles_of_the_functions(resources: Resources) -> None:
    for function, name in FUNCTIONS.items():
        role = resources[resources[name]["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
        (policy,) = role["Policies"]
        assert policy["PolicyDocument"]["Statement"] == statements(function), function


def test_every_index_of_a_policy_exists(resources: Resources) -> None:
    for function, statement in everything():
        for resource in statement["Resource"]:
            found = re.fullmatch(r'"\$\{(\w+)\.Arn\}/index/(\w+)"', pattern(resource))
            if found:
                table, index = found.groups()
                known = resources[table]["Properties"]["GlobalSecondaryIndexes"]
                assert index in {each["IndexName"] for each in known}, (function, table, index)


def test_the_policy_of_a_role_is_no_longer_than_aws_accepts(resources: Resources) -> None:
    # 10,240 characters for all inline policies of a role, white space not counted; names grow to full ARNs.
    for function in FUNCTIONS:
        text = json.dumps(statements(function), separators=(",", ":"))
        assert len(text) + 60 * text.count("Fn::") < 10_240, function
