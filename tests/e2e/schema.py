"""The API tried against its own description: schemathesis, in a process of its own, calls a running stack.

It makes up requests that the description allows and requests that it does not, follows what answers say of other
records, and looks at each answer: no server error, nothing undocumented, every body as its schema says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.address import Caller
from infra.package import ROOT
from tests.e2e.local_stack import LocalStack
from tests.e2e.schema_hooks import KNOWN

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "missing_required_header",
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
)
# Left out, with the reason.
EXCLUDED = {
    "revoke_token": "it would find the run's own token in the list of tokens, and every later answer would be 401",
}
# A request that the schema allows may still be refused for what no schema can say: a report that does not exist,
# an instant after another. That is 422, and never 400. One that it forbids may be refused for its If-Match first.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429]

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 412, 422]
"""


# What schemathesis does, one after the other.
PHASES = ("examples", "coverage", "fuzzing", "stateful")

# Of each, so that there are some left when some were deleted.
RECORDS = 6


@dataclass
class Findings:
    """What one run did and found."""

    calls: Counter[str] = field(default_factory=Counter)
    # By operation: those that were done, not refused.
    done: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    # Those that came to their end.
    phases: list[str] = field(default_factory=list)
    selected: int = 0
    seconds: float = 0.0
    said: str = ""

    @property
    def total(self) -> int:
        return self.calls.total()


def run(stack: LocalStack, folder: Path, *words: str) -> Findings:
    """Let schemathesis call the stack as an admin; `words` are further options of its `run`."""
    known = stack.state.credentials
    assert known is not None
    config, report = folder / "schemathesis.toml", folder / "events.ndjson"
    config.write_text(CONFIG)
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run",
        f"{stack.base_url}/openapi.json", "--url", stack.base_url, "--header",
        f"Authorization: Bearer {known['tokens']['admin']}", "--checks", ",".join(CHECKS),
        "--continue-on-failure", "--no-color", "--warnings", "off", "--generation-database", "none",
        "--request-timeout", "120", "--report", "ndjson", "--report-ndjson-path", str(report),
        *(word for name in EXCLUDED for word in ("--exclude-operation-id", name)),
        *words,
    ]  # fmt: skip
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.e2e.schema_hooks",
        "PYTHONPATH": str(ROOT),
        KNOWN: json.dumps(records(stack.as_("admin"))),
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert report.exists(), done.stdout + done.stderr
    return read(report, done.stdout + done.stderr)


def records(call: Caller) -> dict[str, list[str]]:
    """Records of every type for the run to meet, told by the names that their ids have in paths and bodies."""
    found: dict[str, list[str]] = {}

    def make(id_field: str, path: str, body: dict[str, Any]) -> str:
        made: str = call("POST", path, body)[id_field]
        found.setdefault(id_field, []).append(made)
        return made

    days = {"name": "known", "covers_from": "2026-01-01", "covers_to": "2030-12-31", "days": {"2026-01-01": "off"}}
    queries = [{"name": "all", "sql": "SELECT * FROM products"}]
    schedule = {"type": "cron", "expression": "0 4 1 1 *"}
    for _ in range(RECORDS):
        make("calendar_id", "/calendars", days)
        make("token_id", "/tokens", {"name": "known", "role": "viewer"})
        source = make("source_id", "/sources", {"name": "known", "kind": "sqlite", "settings": {"path": "shop.db"}})
        report = make("report_id", "/reports", {"name": "known", "source_id": source, "queries": queries})
        task = {"name": "known", "kind": "report_export", "spec": {"report_id": report}, "schedule": schedule}
        make("job_id", f"/tasks/{make('task_id', '/tasks', task)}/run", {})
    return found


def read(report: Path, said: str) -> Findings:
    """The findings of a run's events, one JSON object a line."""
    found = Findings(said=said)
    for line in report.read_text(encoding="utf-8").splitlines():
        ((name, event),) = json.loads(line).items()
        if name == "LoadingFinished":
            found.selected = event["statistic"]["operations"]["selected"]
        elif name == "EngineFinished":
            found.seconds = event["running_time"]
        elif name == "PhaseFinished" and event["status"] not in ("interrupted", "skip"):
            found.phases += [each for each in PHASES if each == event["phase"]["name"] and each not in found.phases]
        elif name == "ScenarioFinished":
            _read(event["recorder"], found)
    return found


def _read(recorder: dict[str, Any], found: Findings) -> None:
    for case_id, interaction in recorder.get("interactions", {}).items():
        case = recorder["cases"][case_id]["value"]
        label = f"{case['method']} {case['path']}"
        response = interaction["response"]
        found.calls[label] += 1
        if response is None:
            continue
        found.statuses[response["status_code"]] += 1
        if response["status_code"] < 400:
            found.done.add(label)
    for case_id, checks in recorder.get("checks", {}).items():
        case = recorder["cases"][case_id]["value"]
        found.failures += [
            f"{case['method']} {case['path']}: {check['failure_info']['failure']['title']}"
            for check in checks
            if check["status"] == "failure"
        ]
