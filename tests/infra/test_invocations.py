"""How Lambda is to call the functions: what it tries again, and where what failed goes."""

from __future__ import annotations

import pytest

from tests.infra.conftest import Resources


def invocations(resources: Resources, function: str) -> dict[str, object]:
    (found,) = [
        each
        for each in resources.of("AWS::Lambda::EventInvokeConfig").values()
        if each["FunctionName"] == {"Ref": function}
    ]
    assert found["Qualifier"] == "$LATEST"
    return found


@pytest.mark.parametrize("name", ["Tick", "Sweep"])
def test_the_next_minute_is_the_retry_of_a_timer(resources: Resources, name: str) -> None:
    found = invocations(resources, name)
    assert (found["MaximumRetryAttempts"], found["MaximumEventAgeInSeconds"]) == (0, 60)


def test_an_event_that_fire_gives_up_on_is_kept_and_raises_the_alarm(resources: Resources) -> None:
    kept = {"Fn::GetAtt": ["FireFailuresQueue", "Arn"]}
    assert invocations(resources, "Fire")["DestinationConfig"] == {"OnFailure": {"Destination": kept}}
    queue = resources["FireFailuresQueue"]["Properties"]
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
    alarm = resources["FireFailuresAlarm"]["Properties"]
    assert alarm["Dimensions"][0]["Value"] == {"Fn::GetAtt": ["FireFailuresQueue", "QueueName"]}
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    role = resources[resources["Fire"]["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
    (policy,) = role["Policies"]
    allowed = [
        each["Resource"] for each in policy["PolicyDocument"]["Statement"] if "sqs:SendMessage" in each["Action"]
    ]
    assert [kept] in allowed


def test_lambda_does_not_cut_the_chain_from_work_through_its_queue_to_work(resources: Resources) -> None:
    assert resources["Work"]["Properties"]["RecursiveLoop"] == "Allow"
    looping = [name for name, each in resources.of("AWS::Lambda::Function").items() if "RecursiveLoop" in each]
    assert looping == ["Work"], "the others stay protected from loops"
