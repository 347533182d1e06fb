"""API Gateway: one stage, its limits, its access log, what starts the authorizer, and what stands before it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from chalicelib.access import tokens
from chalicelib.api.blueprint import HEADERS
from chalicelib.api.errors import CHALLENGE
from infra import template as templates
from tests.infra.conftest import Resources


def the(resources: Resources, kind: str) -> dict[str, Any]:
    (found,) = resources.of(kind).values()
    return found


def test_the_api_has_the_one_stage(template: dict[str, Any], resources: Resources) -> None:
    assert the(resources, "AWS::ApiGateway::Stage")["StageName"] == "api"
    # A deployment that names a stage makes it, beside the ones of the template.
    assert "StageName" not in the(resources, "AWS::ApiGateway::Deployment")


def test_a_401_of_the_gateway_says_what_it_asks_for() -> None:
    gateway = json.loads((templates.HERE / "gateway.json").read_text(encoding="utf-8"))
    responses = templates.gateway_responses(gateway)
    for kind in ("UNAUTHORIZED", "ACCESS_DENIED"):
        parameters = responses[kind]["responseParameters"]
        assert parameters["gatewayresponse.header.WWW-Authenticate"] == f"'{CHALLENGE}'"


def test_answers_of_the_gateway_carry_the_headers_of_the_api() -> None:
    gateway = json.loads((templates.HERE / "gateway.json").read_text(encoding="utf-8"))
    for kind, response in templates.gateway_responses(gateway).items():
        (content_type,) = response["responseTemplates"]
        shown = {
            name.removeprefix("gatewayresponse.header."): text for name, text in response["responseParameters"].items()
        }
        assert {"Content-Type": f"'{content_type}'", **shown}.items() >= {
            (name, f"'{text}'") for name, text in HEADERS.items()
        }, kind


@pytest.mark.parametrize("status", [429, 503])
def test_an_answer_that_asks_for_a_later_try_says_when(status: int) -> None:
    """The stage's rate is kept by API Gateway alone: it refuses before a function starts, and so costs nothing."""
    gateway = json.loads((templates.HERE / "gateway.json").read_text(encoding="utf-8"))
    kinds = {429: {"THROTTLED", "QUOTA_EXCEEDED"}, 503: {"INTEGRATION_TIMEOUT", "INTEGRATION_FAILURE", "DEFAULT_5XX"}}
    for kind in kinds[status]:
        response = templates.gateway_responses(gateway)[kind]
        assert response["responseParameters"]["gatewayresponse.header.Retry-After"] == "'1'"


def test_a_stage_may_ask_each_sign_in_for_a_second_factor(template: dict[str, Any], resources: Resources) -> None:
    assert the(resources, "AWS::Cognito::UserPool")["MfaConfiguration"] == {"Ref": "SignInMfa"}
    assert template["Parameters"]["SignInMfa"]["Default"] == "OPTIONAL"


def test_the_apis_name_carries_the_stage(resources: Resources) -> None:
    api = the(resources, "AWS::ApiGateway::RestApi")
    # The title of a definition is the name that API Gateway shows.
    assert api["Name"] == api["Body"]["info"]["title"] == {"Ref": "AWS::StackName"}


def test_requests_beyond_the_stages_rate_are_refused(template: dict[str, Any], resources: Resources) -> None:
    (limits,) = the(resources, "AWS::ApiGateway::Stage")["MethodSettings"]
    assert (limits["ResourcePath"], limits["HttpMethod"]) == ("/*", "*")
    assert limits["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}
    assert limits["ThrottlingBurstLimit"] == {"Ref": "RequestBurst"}
    assert {"RequestsPerSecond", "RequestBurst"} <= template["Parameters"].keys()


def test_each_request_leaves_a_line_in_the_access_log(resources: Resources) -> None:
    wanted, logs, otherwise = the(resources, "AWS::ApiGateway::Stage")["AccessLogSetting"]["Fn::If"]
    assert (wanted, otherwise) == ("KeepsAccessLogs", {"Ref": "AWS::NoValue"})
    line = json.loads(logs["Format"])
    assert {"time", "correlation_id", "method", "path", "status", "ip", "actor"} <= line.keys()
    assert resources["AccessLogGroup"]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_access_logs_wait_for_the_role_that_writes_them(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    # The stage needs its log group, whose tag needs the account's setting: a conditional resource cannot be waited for
    # in another way.
    (tag,) = resources["AccessLogGroup"]["Properties"]["Tags"]
    assert tag["Value"] == {"Fn::If": ["BringsGatewayRole", {"Ref": "GatewayAccount"}, "account"]}
    # The role is the account's: other APIs may write with it by the time the stack goes.
    for name in ("GatewayRole", "GatewayAccount"):
        assert resources[name]["Condition"] == "BringsGatewayRole"
        assert resources[name]["DeletionPolicy"] == "Retain"


def expression(resources: Resources) -> str:
    body = the(resources, "AWS::ApiGateway::RestApi")["Body"]
    found: str = body["securityDefinitions"]["authorize"]["x-amazon-apigateway-authorizer"][
        "identityValidationExpression"
    ]
    return found


TOKEN = f"{tokens.PREFIX}_01JD0000000000000000000000_{'a1' * tokens.SECRET_BYTES}"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhLWJfYyJ9.c2ln_bmF0dXJl-0"


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", f"BEARER {JWT}"])
def test_a_token_starts_the_authorizer(resources: Resources, header: str) -> None:
    assert re.fullmatch(expression(resources), header)


@pytest.mark.parametrize(
    "header",
    ["Bearer abc", "Bearer", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x y", "Bearer carillon_x_y", "Bearer a.b"],
)
def test_what_cannot_be_a_token_does_not(resources: Resources, header: str) -> None:
    assert not re.fullmatch(expression(resources), header)


def test_a_web_acl_guards_the_stage_where_one_is_given(template: dict[str, Any]) -> None:
    association = template["Resources"]["WebAclAssociation"]
    assert association["Condition"] == "HasWebAcl"
    assert association["DependsOn"] == "RestAPIapiStage"
    assert association["Properties"]["WebACLArn"] == {"Ref": "WebAclArn"}
    assert association["Properties"]["ResourceArn"]["Fn::Sub"].endswith("/restapis/${RestAPI}/stages/api")


def test_a_domain_of_ones_own_has_the_same_paths(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    for name in ("Domain", "DomainMapping"):
        assert resources[name]["Condition"] == "HasDomain"
    assert resources["DomainMapping"]["Properties"]["BasePath"] == "api"
    assert resources["Domain"]["Properties"]["SecurityPolicy"] == "TLS_1_2"
    (wanted, own, given) = template["Outputs"]["ApiUrl"]["Value"]["Fn::If"]
    assert (wanted, own) == ("HasDomain", {"Fn::Sub": "https://${DomainName}/api"})
    assert given["Fn::Sub"].endswith("/api")


@pytest.mark.parametrize("name", ["WebAclArn", "DomainName", "CertificateArn", "HostedZoneId"])
def test_what_stands_before_the_api_is_optional(template: dict[str, Any], name: str) -> None:
    assert template["Parameters"][name]["Default"] == ""
