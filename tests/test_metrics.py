from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from chalice.local import LambdaEventConverter

from chalicelib import clock, log, metrics
from chalicelib.access.actor import Role
from chalicelib.core.lifecycle import JobStatus
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.settings import Settings
from tests.support.http import as_role
from tests.support.simulator import PROBE, Stage


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


def values(line: dict[str, Any]) -> list[tuple[str, str, tuple[str, ...], float]]:
    """What CloudWatch reads out of a line: namespace, name, dimensions with their values, value."""
    return [
        (directive["Namespace"], metric["Name"], tuple(f"{name}={line[name]}" for name in names), line[metric["Name"]])
        for directive in line["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]
        for names in directive["Dimensions"]
    ]


@pytest.fixture(autouse=True)
def _namespace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(metrics, "settings", lambda: Settings(metrics="Carillon/test"))
    yield
    log.correlate(None)


def test_an_end_is_counted_by_kind_and_status_and_by_status(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.job_ended("report_export", JobStatus.SUCCEEDED, rows=7, job_id="j1")
    (line,) = lines(capsys)
    assert values(line) == [
        ("Carillon/test", "Jobs", ("Kind=report_export", "Status=succeeded"), 1),
        ("Carillon/test", "Jobs", ("Status=succeeded",), 1),
        ("Carillon/test", "ExportRows", ("Kind=report_export",), 7),
    ]
    assert line["job_id"] == "j1"
    assert line["_aws"]["Timestamp"] > 1e12


def test_a_stage_without_a_namespace_counts_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "settings", lambda: Settings())
    metrics.job_ended("report_export", JobStatus.FAILED)
    assert lines(capsys) == []


def test_every_end_of_a_job_is_counted_once(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(context: RunContext) -> Outcome:
        raise ValueError("no")

    stage.task()
    stage.minutes(2)
    PROBE.behaviour = fail
    stage.minutes(1)
    stage.task(misfire="skip", schedule={"type": "cron", "expression": "* * * * *"})
    stage.world.forward(minutes=30)
    stage.minutes(1)
    counted: dict[str, int] = {}
    for line in lines(capsys):
        for _, name, dimensions, value in values(line) if "_aws" in line else []:
            if name == "Jobs" and len(dimensions) == 1:
                status = dimensions[0].removeprefix("Status=")
                counted[status] = counted.get(status, 0) + int(value)
    there: dict[str, int] = {}
    for job in stage.jobs():
        if job.ended_at is not None:
            there[job.status] = there.get(job.status, 0) + 1
    assert {"succeeded", "failed", "missed"} <= there.keys()
    assert counted == there


def test_one_id_leads_from_a_request_to_its_job_and_to_the_log_of_its_run(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = stage.task(enabled=False)
    seen: list[str | None] = []

    def look(context: RunContext) -> Outcome:
        seen.append(log.correlation_id())
        return Outcome(rows=1)

    PROBE.behaviour = look
    made = LambdaEventConverter.create_lambda_event

    def with_an_id(self: LambdaEventConverter, **given: Any) -> Any:
        event = made(self, **given)
        event["requestContext"]["requestId"] = "request-1"
        return event

    monkeypatch.setattr(LambdaEventConverter, "create_lambda_event", with_an_id)
    reply = as_role(Role.ADMIN).post(f"/tasks/{task.task_id}/run", {})
    job_id = reply.json["job_id"]
    asked = reply.json["correlation_id"]
    assert asked == reply.headers["X-Request-Id"] == "request-1"
    log.correlate("worker-invocation")
    # Requests read the real clock.
    stage.world.now = clock.now() + timedelta(seconds=1)
    stage.deliver()
    told = [line for line in lines(capsys) if line.get("job_id") == job_id and "correlation_id" in line]
    assert seen == [asked]
    assert {line["correlation_id"] for line in told} == {asked}
    assert {"job started by request", "job started", "job ended"} <= {line["message"] for line in told}
