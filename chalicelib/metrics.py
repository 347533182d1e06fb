"""Outcomes as metrics: lines in CloudWatch's embedded metric format, which CloudWatch reads out of the log.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

A metric costs in the months in which it has a value, for each combination of its dimensions: so there are two for jobs,
and none for tasks, sources or people.
"""

from __future__ import annotations

from typing import Any

from chalicelib import clock, log
from chalicelib.settings import settings

# What a job's end is counted by: the alarm looks at the status alone.
OF_JOBS = [["Kind", "Status"], ["Status"]]
OF_ROWS = [["Kind"]]


def job_ended(kind: str, status: str, *, rows: int | None = None, **fields: Any) -> None:
    """Count a job's end, and the rows that it exported. The fields stand in the line, but are no metrics."""
    values = {"Kind": kind, "Status": status, "Jobs": 1}
    directives = [_directive(OF_JOBS, "Jobs", "Count")]
    if rows is not None:
        values["ExportRows"] = rows
        directives.append(_directive(OF_ROWS, "ExportRows", "Count"))
    _emit(f"job {status}", directives, {**values, **fields})


def _directive(dimensions: list[list[str]], name: str, unit: str) -> dict[str, Any]:
    return {
        "Namespace": settings().metrics,
        "Dimensions": dimensions,
        "Metrics": [{"Name": name, "Unit": unit}],
    }


def _emit(message: str, directives: list[dict[str, Any]], values: dict[str, Any]) -> None:
    """A stage without a namespace counts nothing: CloudWatch bills what it reads."""
    if settings().metrics:
        milliseconds = round(clock.now().timestamp() * 1000)
        log.event(message, _aws={"Timestamp": milliseconds, "CloudWatchMetrics": directives}, **values)
