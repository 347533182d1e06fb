"""What README promises of a first task: its commands run as they stand on the stack of `make run`, at their second."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.local.address import Caller
from infra.package import ROOT
from tests.e2e.local_stack import PATIENCE_SECONDS, LocalStack, wait_until_ended

# On a machine that is not busy; on a busy one, three times what a start by hand takes.
LATEST_SECONDS = 2.0


def test_the_commands_of_the_readme_run_as_they_stand(stack: LocalStack, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-eu"],
        input=first_task(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
        # The stack's port and folder are not those of `make run` without options.
        env={
            "STATE": str(stack.folder),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.iterdir()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    # Told by the last commands, and written in the manifest of a job that has succeeded.
    assert digest in done.stdout
    call = stack.as_("viewer")
    jobs = call("GET", "/jobs?status=succeeded")["items"]
    manifests = [each for job in jobs for each in call("GET", f"/jobs/{job['job_id']}/files")["items"]]
    (manifest,) = [each for each in manifests if each["sha256"] == digest]
    assert manifest["bytes"] == file.stat().st_size
    assert manifest["rows"] > 0


def first_task() -> str:
    """The block of README that makes a first task, as it stands."""
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```(?:sh|bash|shell)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (block,) = [each for each in blocks if "/download" in each]
    return block


def test_a_once_task_starts_at_its_second_and_never_before(
    stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    call = stack.as_("admin")
    (report,) = call("GET", "/reports?search=Shop%20orders")["items"]
    begun = datetime.now(UTC)
    at_once = started_now(call, report["report_id"])["lateness_seconds"]
    # Time to save three tasks, also on a machine so busy that the job above took long.
    first = datetime.now(UTC).replace(microsecond=0) + max(timedelta(seconds=6), 2 * (datetime.now(UTC) - begun))
    latest = max(LATEST_SECONDS, 3 * at_once)
    slots = {}
    for number in range(3):
        at = first + timedelta(seconds=2 * number)
        task = {
            "name": f"Once {number}",
            "kind": "report_export",
            "spec": {"report_id": report["report_id"]},
            "schedule": {"type": "once", "at": at.strftime("%Y-%m-%dT%H:%M:%S"), "timezone": "UTC"},
            "window": {"type": "last_hour"},
        }
        slots[call("POST", "/tasks", task)["task_id"]] = at
    for task_id, at in slots.items():
        (job,) = call("GET", f"/jobs?task_id={task_id}")["items"]
        job = wait_until_ended(call, job["job_id"])
        assert job["status"] == "succeeded", job
        assert datetime.fromisoformat(job["scheduled_for"]) == at
        assert datetime.fromisoformat(job["started_at"]) >= at
        with capsys.disabled():
            sys.stdout.write(f"\nonce at {at:%H:%M:%S}: {job['lateness_seconds']} s late\n")
        assert 0 <= job["lateness_seconds"] <= latest


def started_now(call: Caller, report_id: str) -> dict[str, Any]:
    """A job that was started by hand, at its end: how late it began tells how busy the machine is."""
    task = {
        "name": "By hand",
        "kind": "report_export",
        "spec": {"report_id": report_id},
        "schedule": {"type": "cron", "expression": "0 4 1 1 *"},
        "window": {"type": "last_hour"},
    }
    task_id = call("POST", "/tasks", task)["task_id"]
    return wait_until_ended(call, call("POST", f"/tasks/{task_id}/run", {})["job_id"])
