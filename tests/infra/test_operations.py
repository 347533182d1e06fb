"""What operators see: alarms with their pages, the dashboard, traces."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from chalicelib import metrics
from infra import template as templates
from infra.package import ROOT
from tests.infra.conftest import FUNCTIONS, Resources

ALARMS = sorted(
    name
    for name, each in json.loads((templates.HERE / "alarms.json").read_text(encoding="utf-8"))["Resources"].items()
    if each["Type"] == "AWS::CloudWatch::Alarm"
)
RUNBOOKS = ROOT / "docs" / "runbooks"


def kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_has_a_page_with_commands(alarm: str) -> None:
    page = (RUNBOOKS / f"{kebab(alarm)}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {alarm}\n")
    look, do = page.split("\n## Look\n")[1].split("\n## Do\n")
    assert "```" in look
    assert do.strip().startswith("- ")
    assert f"[{alarm}]({kebab(alarm)}.md)" in (RUNBOOKS / "README.md").read_text(encoding="utf-8")


def test_no_page_is_for_an_alarm_that_is_gone() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README", "restore"}
    assert pages == {kebab(alarm) for alarm in ALARMS}


def test_every_alarm_of_the_template_is_one_of_the_fragment(resources: Resources) -> None:
    assert sorted(resources.of("AWS::CloudWatch::Alarm")) == ALARMS


def watched(resources: Resources, name: str) -> list[tuple[str, str]]:
    """The metrics that an alarm looks at."""
    alarm = resources[name]["Properties"]
    found = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each] or [alarm]
    return [(each["MetricName"], json.dumps([d["Value"] for d in each.get("Dimensions", [])])) for each in found]


def test_failures_are_an_alarm(resources: Resources) -> None:
    alarm = resources["FailedJobsAlarm"]["Properties"]
    assert alarm["Namespace"] == {"Fn::Sub": "Carillon/${AWS::StackName}"}
    assert (alarm["MetricName"], alarm["Dimensions"]) == ("Jobs", [{"Name": "Status", "Value": "failed"}])
    assert ["Status"] in metrics.OF_JOBS
    assert alarm["Threshold"] == {"Ref": "FailedJobsAlarmCount"}


def test_a_queue_that_waits_is_an_alarm(resources: Resources) -> None:
    assert watched(resources, "QueueAgeAlarm")[0][0] == "ApproximateAgeOfOldestMessage"
    # A token that is held back for its time and then worked on is no reason.
    assert 900 + resources["Work"]["Properties"]["Timeout"] <= 1800


def test_answers_of_5xx_are_an_alarm(resources: Resources) -> None:
    ((metric, dimensions),) = watched(resources, "ApiFailureAlarm")
    assert metric == "5XXError"
    # The dimension is the API's name, which is the stack's.
    assert json.loads(dimensions) == [{"Ref": "AWS::StackName"}, "api"]


@pytest.mark.parametrize("function", ["Fire", "Authorize", "Tick", "Sweep", "Work"])
def test_the_failure_of_a_function_is_an_alarm(resources: Resources, function: str) -> None:
    assert watched(resources, f"{function}ErrorAlarm") == [("Errors", json.dumps([{"Ref": function}]))]


def test_throttles_of_any_function_are_an_alarm(resources: Resources) -> None:
    assert {json.loads(dimensions)[0]["Ref"] for _, dimensions in watched(resources, "ThrottleAlarm")} == set(
        FUNCTIONS.values()
    )


def test_the_dashboard_shows_what_exists(template: dict[str, Any], resources: Resources) -> None:
    text = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    named = set(re.findall(r"\$\{(\w+)(?:\.\w+)?\}", text)) - {"AWS"}
    assert named <= resources.keys()
    shown = json.dumps(json.loads(text)["widgets"])
    for word in ("succeeded", "missed", "LatenessSeconds", "ExportRows", "ApproximateAgeOfOldestMessage", "5XXError"):
        assert word in shown
    # CloudWatch draws no graph over another.
    places = [(each["x"], each["y"]) for each in json.loads(text)["widgets"]]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_stage_may_ask_for_traces(resources: Resources, function: str) -> None:
    properties = resources[FUNCTIONS[function]]["Properties"]
    assert properties["TracingConfig"] == {"Mode": {"Fn::If": ["Traces", "Active", "PassThrough"]}}
    role = resources[properties["Role"]["Fn::GetAtt"][0]]["Properties"]
    policies = [each["Fn::If"] for each in role["ManagedPolicyArns"]]
    assert any(wanted == "Traces" and "XRay" in policy["Fn::Sub"] for wanted, policy, _ in policies)


def test_traces_begin_at_the_api(resources: Resources) -> None:
    (stage,) = resources.of("AWS::ApiGateway::Stage").values()
    assert stage["TracingEnabled"] == {"Fn::If": ["Traces", True, False]}
