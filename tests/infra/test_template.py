from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from chalicelib import retention
from chalicelib.api.roles import ROLES
from chalicelib.kinds.registry import KINDS
from chalicelib.settings import READERS, Settings, variable
from infra import package
from infra import template as templates
from tests.infra.conftest import FUNCTIONS, Resources

TABLES = json.loads((templates.HERE / "tables.json").read_text(encoding="utf-8"))["Resources"]
MONTH_SECONDS = 30 * 24 * 3600


def test_cfn_lint_finds_nothing(packaged: Path) -> None:
    package.lint(packaged / "template.json")


def test_a_package_of_the_same_sources_is_the_same(packaged: Path, tmp_path: Path) -> None:
    package.build("test", tmp_path / "again", with_layer=False)
    assert (tmp_path / "again" / "template.json").read_bytes() == (packaged / "template.json").read_bytes()


def test_fragments_join_section_by_section() -> None:
    joined = templates.join([{"Resources": {"A": 1}}, {"Resources": {"B": 2}, "Outputs": {"C": 3}}])
    assert joined == {"Resources": {"A": 1, "B": 2}, "Outputs": {"C": 3}}


def test_a_resource_declared_twice_is_refused() -> None:
    with pytest.raises(templates.TemplateProblem, match=r"Resources\.A"):
        templates.join([{"Resources": {"A": 1}}, {"Resources": {"A": 1}}])


def test_the_stage_is_the_one_packaged(template: dict[str, Any]) -> None:
    assert template["Parameters"]["Stage"]["Default"] == "test"


@pytest.mark.parametrize("name", sorted(TABLES))
class TestTables:
    def test_can_be_restored_to_any_point(self, resources: Resources, name: str) -> None:
        backup = resources[name]["Properties"]["PointInTimeRecoverySpecification"]
        assert backup["PointInTimeRecoveryEnabled"] is True

    def test_are_encrypted_with_the_key_that_costs_nothing(self, resources: Resources, name: str) -> None:
        # Without a word on it DynamoDB encrypts with a key of its own; `SSEEnabled` would ask KMS, which AWS bills.
        assert "SSESpecification" not in resources[name]["Properties"]

    def test_have_names_that_a_new_stack_finds_them_by(self, resources: Resources, name: str) -> None:
        word = name.removesuffix("Table").lower()
        assert resources[name]["Properties"]["TableName"] == f"carillon-test-{word}"

    def test_outlive_the_stack(self, resources: Resources, name: str) -> None:
        assert resources[name]["DeletionPolicy"].startswith("Retain")


@pytest.mark.parametrize("name", ["JobsTable", "RunsTable", "LogsTable", "AuditTable", "RequestsTable"])
def test_records_with_an_end_expire(resources: Resources, name: str) -> None:
    assert resources[name]["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


class TestQueues:
    def test_a_token_is_hidden_longer_than_work_may_take(self, resources: Resources) -> None:
        hidden = resources["WorkQueue"]["Properties"]["VisibilityTimeout"]
        assert hidden > resources["Work"]["Properties"]["Timeout"] == 900

    def test_a_token_is_given_up_after_five_deliveries(self, resources: Resources) -> None:
        redrive = resources["WorkQueue"]["Properties"]["RedrivePolicy"]
        assert redrive == {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}, "maxReceiveCount": 5}

    def test_dead_letters_stay_as_long_as_sqs_keeps_any(self, resources: Resources) -> None:
        assert resources["DeadLetterQueue"]["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600

    def test_are_encrypted(self, resources: Resources) -> None:
        assert all(queue["SqsManagedSseEnabled"] for queue in resources.of("AWS::SQS::Queue").values())

    def test_work_takes_one_token_at_a_time_and_may_refuse_it(self, resources: Resources) -> None:
        (mapping,) = resources.of("AWS::Lambda::EventSourceMapping").values()
        assert mapping["BatchSize"] == 1
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "WorkConcurrency"}}


class TestBucket:
    def test_blocks_public_access(self, resources: Resources) -> None:
        block = resources["FilesBucket"]["Properties"]["PublicAccessBlockConfiguration"]
        assert len(block) == 4
        assert all(block.values())

    def test_expires_what_each_kind_leaves_when_the_records_do(self, resources: Resources) -> None:
        rules = resources["FilesBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
        expired = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
        # A prefix that holds another would expire the other's objects too: the shorter time wins.
        assert set(expired) == {
            f"{retention.prefix(area, kind)}/" for area in get_args(retention.Area) for kind in KINDS
        }
        known = resources["Work"]["Properties"]["Environment"]["Variables"]
        text, values = known["CARILLON_RETENTION_DAYS_BY_KIND"]["Fn::Sub"]
        for prefix, days in expired.items():
            kind = prefix.split("/")[1]
            word = kind.title().replace("_", "")
            own, general = {"Ref": f"{word}RetentionDays"}, {"Ref": "RetentionDays"}
            assert days == {"Fn::If": [f"{word}Days", own, general]}, prefix
            assert f'"{kind}": ${{{word}}}' in text
            assert values[word] == days

    def test_a_new_kind_has_its_days_by_its_row_alone(
        self, template: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(KINDS, "toy_play", "tests.support.toy_kind.wiring:toy")
        package.build("test", tmp_path / "out", with_layer=False)
        made = json.loads((tmp_path / "out" / "template.json").read_text(encoding="utf-8"))
        assert made["Parameters"].keys() - template["Parameters"].keys() == {"ToyPlayRetentionDays"}
        assert made["Parameters"]["ToyPlayRetentionDays"]["Default"] == 0
        assert made["Conditions"].keys() - template["Conditions"].keys() == {"ToyPlayDays"}
        days = {"Fn::If": ["ToyPlayDays", {"Ref": "ToyPlayRetentionDays"}, {"Ref": "RetentionDays"}]}
        rules = made["Resources"]["FilesBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
        known = template["Resources"]["FilesBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
        added = [rule for rule in rules if rule not in known]
        assert {(rule["Id"], rule["Prefix"]) for rule in added} == {
            ("expire-files-of-toy-play", "files/toy_play/"),
            ("expire-logs-of-toy-play", "logs/toy_play/"),
        }
        assert [rule["ExpirationInDays"] for rule in added] == [days, days]
        for name in FUNCTIONS.values():
            given = made["Resources"][name]["Properties"]["Environment"]["Variables"]["CARILLON_RETENTION_DAYS_BY_KIND"]
            text, values = given["Fn::Sub"]
            assert values["ToyPlay"] == days
            read = re.sub(r"\$\{\w+\}", "90", text.replace("${ToyPlay}", "3"))
            assert READERS["dict[str, int]"]("DAYS", read) == dict.fromkeys(KINDS, 90) | {"toy_play": 3}

    def test_gives_up_unfinished_uploads(self, resources: Resources) -> None:
        rules = resources["FilesBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
        assert rules[-1]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}

    def test_is_encrypted(self, resources: Resources) -> None:
        assert "BucketEncryption" in resources["FilesBucket"]["Properties"]


@pytest.mark.parametrize("name", ["FilesBucketPolicy", "QueuePolicy", "FireFailuresPolicy"])
def test_nothing_is_served_without_tls(resources: Resources, name: str) -> None:
    (statement,) = resources[name]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


class TestFunctions:
    def test_are_exactly_these(self, resources: Resources) -> None:
        assert set(resources.of("AWS::Lambda::Function")) == set(FUNCTIONS.values())

    def test_each_has_a_role_of_its_own(self, resources: Resources) -> None:
        roles = [each["Role"]["Fn::GetAtt"][0] for each in resources.of("AWS::Lambda::Function").values()]
        assert len(set(roles)) == len(FUNCTIONS)

    def test_each_has_a_log_group_that_expires(self, resources: Resources) -> None:
        for name, function in resources.of("AWS::Lambda::Function").items():
            group = resources[function["LoggingConfig"]["LogGroup"]["Ref"]]["Properties"]
            assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}, name

    def test_every_setting_the_template_knows_is_handed_over(self, resources: Resources) -> None:
        # The limit of a body is the code's own; only who puts rules needs to know where they lead.
        known = {variable(name) for name in Settings.__dataclass_fields__} - {"CARILLON_BODY_LIMIT_BYTES"}
        for name, function in resources.of("AWS::Lambda::Function").items():
            given = set(function["Environment"]["Variables"])
            assert known - given <= {"CARILLON_FIRE_ARN"}, name

    @pytest.mark.parametrize("name", ["APIHandler", "Sweep"])
    def test_the_functions_that_put_rules_know_their_target(self, resources: Resources, name: str) -> None:
        variables = resources[name]["Properties"]["Environment"]["Variables"]
        assert variables["CARILLON_FIRE_ARN"] == {"Fn::GetAtt": ["Fire", "Arn"]}

    @pytest.mark.parametrize("name", ["Tick", "Sweep"])
    def test_tick_and_sweep_start_every_minute(self, resources: Resources, name: str) -> None:
        rules = resources.of("AWS::Events::Rule").values()
        (rule,) = [rule for rule in rules if rule["Targets"][0]["Arn"]["Fn::GetAtt"] == [name, "Arn"]]
        assert rule["ScheduleExpression"] == "rate(1 minute)"
        assert resources[name]["Properties"]["Timeout"] < 60

    def test_any_rule_of_the_account_may_call_fire(self, resources: Resources) -> None:
        permissions = resources.of("AWS::Lambda::Permission").values()
        (found,) = [each for each in permissions if each["FunctionName"] == {"Ref": "Fire"}]
        assert found["Principal"] == "events.amazonaws.com"
        assert found["SourceArn"]["Fn::Sub"].endswith(":${AWS::AccountId}:rule/*")


class TestAlarms:
    def test_watch_dead_letters_lateness_errors_and_silence(self, resources: Resources) -> None:
        assert set(resources.of("AWS::CloudWatch::Alarm")) >= {
            "DeadLetterAlarm",
            "LatenessAlarm",
            "TickErrorAlarm",
            "TickSilentAlarm",
        }

    def test_all_tell_the_topic(self, resources: Resources) -> None:
        for alarm in resources.of("AWS::CloudWatch::Alarm").values():
            assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}]

    def test_silence_of_tick_is_an_alarm(self, resources: Resources) -> None:
        assert resources["TickSilentAlarm"]["Properties"]["TreatMissingData"] == "breaching"

    def test_lateness_is_read_from_the_log_of_work(self, resources: Resources) -> None:
        filters = resources.of("AWS::Logs::MetricFilter")["LatenessMetric"]
        (metric,) = filters["MetricTransformations"]
        assert filters["LogGroupName"] == {"Ref": "WorkLogGroup"}
        assert filters["FilterPattern"] == "{ $.lateness_seconds = * }"
        alarm = resources["LatenessAlarm"]["Properties"]
        assert (metric["MetricNamespace"], metric["MetricName"]) == (alarm["Namespace"], alarm["MetricName"])


def test_a_job_that_left_the_queue_is_an_alarm_whoever_found_it(resources: Resources) -> None:
    alarm = resources["UnclaimableAlarm"]["Properties"]
    filters = [
        each
        for each in resources.of("AWS::Logs::MetricFilter").values()
        if each["MetricTransformations"][0]["MetricName"] == alarm["MetricName"]
    ]
    assert [each["LogGroupName"]["Ref"] for each in filters] == ["WorkLogGroup", "SweepLogGroup"]
    assert {each["FilterPattern"] for each in filters} == {'{ $.reason = "unclaimable" && $.level = "ERROR" }'}


def test_people_have_the_four_roles_as_groups(resources: Resources) -> None:
    groups = resources.of("AWS::Cognito::UserPoolGroup").values()
    assert {group["GroupName"] for group in groups} == {"viewer", "operator", "editor", "admin"}


def test_the_groups_say_what_their_roles_may(resources: Resources) -> None:
    groups = resources.of("AWS::Cognito::UserPoolGroup").values()
    said = {group["GroupName"]: group["Description"] for group in groups}
    for route, words in {
        ("POST", "/sources"): "defines sources",
        ("POST", "/tokens"): "makes tokens",
        ("GET", "/audit"): "sees the audit",
        ("POST", "/tasks"): "defines tasks, reports and calendars",
        ("POST", "/reports"): "defines tasks, reports and calendars",
        ("POST", "/calendars"): "defines tasks, reports and calendars",
        ("POST", "/sources/{source_id}/test"): "tests sources",
        ("POST", "/reports/{report_id}/preview"): "previews reports",
        ("POST", "/tasks/{task_id}/run"): "runs, cancels, re-runs, re-prioritises and deletes jobs",
        ("POST", "/jobs/{job_id}/cancel"): "runs, cancels, re-runs, re-prioritises and deletes jobs",
        ("POST", "/jobs/{job_id}/rerun"): "runs, cancels, re-runs, re-prioritises and deletes jobs",
        ("PATCH", "/jobs/{job_id}"): "runs, cancels, re-runs, re-prioritises and deletes jobs",
        ("DELETE", "/jobs/{job_id}"): "runs, cancels, re-runs, re-prioritises and deletes jobs",
        ("POST", "/tasks/{task_id}/enable"): "enables and disables tasks",
        ("POST", "/tasks/{task_id}/disable"): "enables and disables tasks",
    }.items():
        assert [role for role, text in said.items() if words in text] == [ROLES[route]], route


def test_what_api_gateway_answers_itself_has_the_shape_of_every_error() -> None:
    gateway = json.loads((templates.HERE / "gateway.json").read_text(encoding="utf-8"))
    for kind, response in templates.gateway_responses(gateway).items():
        text = response["responseTemplates"]["application/json"]
        shown = json.loads(text.replace("$context.error.messageString", '"said"'))
        assert list(shown) == ["Code", "Message", "Errors"], kind
