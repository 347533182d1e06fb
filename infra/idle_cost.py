"""`python -m infra.idle_cost`: what a stage costs in a month in which nothing is due, read off the template.

List prices of us-east-1 in US dollars, without the free tier. Left out: alarms (0.10 each, ten are free), files and
records that are kept, and what people and jobs ask for.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra import package

HOURS = 730.0
MINUTES = 60 * HOURS

# Per unit.
LAMBDA_REQUEST = 0.20 / 1e6
LAMBDA_GB_SECOND = 0.0000166667
DYNAMODB_READ = 0.125 / 1e6
SQS_REQUEST = 0.40 / 1e6
LOGS_GB = 0.50
ALARM = 0.10

# An idle tick or sweep: seconds and characters of log are assumed, generously; a test counts the reads.
SECONDS = 0.15
READS = {"Tick": 4.0, "Sweep": 8.0}
LOG_BYTES = 600.0
# What Lambda's pollers of one event source ask the queue in a second: five, each with long polls of 20 s.
POLLS_A_SECOND = 5 / 20


@dataclass(frozen=True)
class Row:
    what: str
    how_much: str
    dollars: float


def rows(template: dict[str, Any]) -> list[Row]:
    """What the template's resources cost when nothing is due."""
    resources: dict[str, dict[str, Any]] = template["Resources"]
    of = {name: each["Properties"] for name, each in resources.items()}
    timers = [
        rule["Targets"][0]["Arn"]["Fn::GetAtt"][0]
        for rule in _all(resources, "AWS::Events::Rule")
        if rule.get("ScheduleExpression") == "rate(1 minute)"
    ]
    found = []
    for name in timers:
        gigabytes = of[name]["MemorySize"] / 1024
        found.append(Row(f"{name}: starts", f"{MINUTES:,.0f}", MINUTES * LAMBDA_REQUEST))
        worked = MINUTES * SECONDS * gigabytes
        found.append(Row(f"{name}: GB-seconds", f"{worked:,.0f}", worked * LAMBDA_GB_SECOND))
        read = MINUTES * READS[name]
        found.append(Row(f"{name}: read units", f"{read:,.0f}", read * DYNAMODB_READ))
    written = len(timers) * MINUTES * LOG_BYTES / 1e9
    found.append(Row("Logs: GB", f"{written:.3f}", written * LOGS_GB))
    polls = len(_all(resources, "AWS::Lambda::EventSourceMapping")) * POLLS_A_SECOND * 3600 * HOURS
    found.append(Row("Queue: polls", f"{polls:,.0f}", polls * SQS_REQUEST))
    paid_keys = sum("SSESpecification" in table for table in _all(resources, "AWS::DynamoDB::Table"))
    found.append(Row("Tables with a KMS key of AWS", str(paid_keys), paid_keys * MINUTES / 5 * 0.03 / 10_000))
    boards = len(_all(resources, "AWS::CloudWatch::Dashboard"))
    found.append(Row("Dashboard (three are free)", str(boards), 0.0))
    found.append(Row("Metrics (none without jobs)", "0", 0.0))
    return found


def _all(resources: dict[str, dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in resources.values() if each["Type"] == kind]


def table(template: dict[str, Any]) -> str:
    found = rows(template)
    lines = [f"{row.what:<32} {row.how_much:>12} {row.dollars:>8.3f} USD" for row in found]
    alarms = len(_all(template["Resources"], "AWS::CloudWatch::Alarm"))
    lines += ["", f"{'An idle month':<45} {sum(row.dollars for row in found):>8.3f} USD"]
    lines += [f"{'Beside it: alarms, ten are free':<32} {alarms:>12} {max(0, alarms - 10) * ALARM:>8.3f} USD"]
    return "\n".join(lines)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "package"
        package.build("cost", out, with_layer=False)
        print(table(json.loads((out / "template.json").read_text(encoding="utf-8"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
