"""Databases that only a private network reaches: `work` and `api` stand in it where subnets are given."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.conftest import FUNCTIONS, Resources


@pytest.mark.parametrize("function", ["work", "api"])
def test_what_reads_databases_stands_in_the_subnets(resources: Resources, function: str) -> None:
    wanted, inside, outside = resources[FUNCTIONS[function]]["Properties"]["VpcConfig"]["Fn::If"]
    assert (wanted, outside) == ("InSubnets", {"Ref": "AWS::NoValue"})
    assert inside == {"SubnetIds": {"Ref": "SubnetIds"}, "SecurityGroupIds": {"Ref": "SecurityGroupIds"}}


@pytest.mark.parametrize("function", sorted(set(FUNCTIONS) - {"work", "api"}))
def test_the_others_need_no_subnet(resources: Resources, function: str) -> None:
    assert "VpcConfig" not in resources[FUNCTIONS[function]]["Properties"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_who_stands_there_may_have_network_interfaces(resources: Resources, function: str) -> None:
    role = resources[resources[FUNCTIONS[function]]["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
    managed = [each for each in role["ManagedPolicyArns"] if each["Fn::If"][0] != "Traces"]
    if function not in ("work", "api"):
        assert managed == []
        return
    ((wanted, policy, otherwise),) = [each["Fn::If"] for each in managed]
    assert (wanted, otherwise) == ("InSubnets", {"Ref": "AWS::NoValue"})
    assert policy["Fn::Sub"].endswith("/AWSLambdaENIManagementAccess")


def test_without_subnets_nothing_changes(template: dict[str, Any]) -> None:
    assert template["Parameters"]["SubnetIds"]["Default"] == ""
    assert template["Parameters"]["SecurityGroupIds"]["Default"] == ""


def test_the_first_workers_fit_a_new_account(template: dict[str, Any]) -> None:
    # Ten functions at once, of which five are the other functions'.
    assert template["Parameters"]["WorkConcurrency"]["Default"] == 5
