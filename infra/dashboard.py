"""The dashboard of a stage in CloudWatch: what came of jobs, how late, what waits, what fails.

An account has three dashboards for nothing.
"""

from __future__ import annotations

import json
from typing import Any

WIDTH, HEIGHT = 12, 6
FUNCTIONS = {
    "api": "APIHandler",
    "authorize": "Authorize",
    "tick": "Tick",
    "sweep": "Sweep",
    "work": "Work",
    "fire": "Fire",
}
STATUSES = ("succeeded", "failed", "timed_out", "canceled", "blocked", "skipped", "missed")
OWN = "Carillon/${AWS::StackName}"

Metric = list[Any]


def add(template: dict[str, Any], kinds: list[str]) -> None:
    """Add it to the joined fragments."""
    body = json.dumps({"widgets": widgets(kinds)}, separators=(",", ":"))
    template["Resources"]["Dashboard"] = {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {"DashboardName": {"Ref": "AWS::StackName"}, "DashboardBody": {"Fn::Sub": body}},
    }
    template["Outputs"]["DashboardUrl"] = {
        "Description": "How the stage does",
        "Value": {
            "Fn::Sub": "https://${AWS::Region}.console.aws.amazon.com/cloudwatch/home?region=${AWS::Region}"
            "#dashboards/dashboard/${AWS::StackName}"
        },
    }


def widgets(kinds: list[str]) -> list[dict[str, Any]]:
    """Two in a row, each a graph of five-minute values."""
    graphs: list[tuple[str, str, list[Metric]]] = [
        ("Jobs by status", "Sum", [[OWN, "Jobs", "Status", status] for status in STATUSES]),
        ("Jobs by kind", "Sum", [[OWN, "Jobs", "Kind", kind, "Status", end] for kind in kinds for end in STATUSES[:2]]),
        ("Lateness of starts (s)", "Maximum", [[OWN, "LatenessSeconds"]]),
        ("Exported rows", "Sum", [[OWN, "ExportRows", "Kind", kind] for kind in kinds]),
        ("Age of the oldest work token (s)", "Maximum", [_queue("ApproximateAgeOfOldestMessage", "WorkQueue")]),
        (
            "Messages given up on",
            "Maximum",
            [_queue("ApproximateNumberOfMessagesVisible", name) for name in ("DeadLetterQueue", "FireFailuresQueue")],
        ),
        ("Requests", "Sum", [["AWS/ApiGateway", name, *API] for name in ("Count", "4XXError", "5XXError")]),
        ("Answers of the API (ms)", "p90", [["AWS/ApiGateway", "Latency", *API]]),
        ("Errors of functions", "Sum", _functions("Errors")),
        ("Throttles of functions", "Sum", _functions("Throttles")),
        ("Functions at work", "Maximum", _functions("ConcurrentExecutions")),
        (
            "Throttled tables",
            "Sum",
            [
                ["AWS/DynamoDB", name, "TableName", f"${{{table}}}"]
                for table in ("JobsTable", "RunsTable", "TasksTable", "PoolsTable")
                for name in ("ReadThrottleEvents", "WriteThrottleEvents")
            ],
        ),
    ]
    return [_widget(number, *graph) for number, graph in enumerate(graphs)]


API = ("ApiName", "${AWS::StackName}", "Stage", "api")


def _queue(metric: str, queue: str) -> Metric:
    return ["AWS/SQS", metric, "QueueName", f"${{{queue}.QueueName}}"]


def _functions(metric: str) -> list[Metric]:
    return [
        ["AWS/Lambda", metric, "FunctionName", f"${{{logical}}}", {"label": name}]
        for name, logical in FUNCTIONS.items()
    ]


def _widget(number: int, title: str, statistic: str, metrics: list[Metric]) -> dict[str, Any]:
    return {
        "type": "metric",
        "x": number % 2 * WIDTH,
        "y": number // 2 * HEIGHT,
        "width": WIDTH,
        "height": HEIGHT,
        "properties": {
            "title": title,
            "region": "${AWS::Region}",
            "stat": statistic,
            "period": 300,
            "metrics": metrics,
        },
    }
