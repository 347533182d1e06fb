"""Records and actions through HTTP, by role: a viewer sees what an operator does, and is told what he may not do."""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import http.client
import json
import time
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import pytest

from chalicelib.access.actor import Role
from chalicelib.api.errors import CHALLENGE
from chalicelib.api.roles import OPEN, ROLES
from infra.local.address import Caller, Refused
from tests.e2e.counting import start_counting
from tests.e2e.local_stack import PATIENCE_SECONDS, LocalStack, wait_until_ended

MAY_NOT = {
    "viewer": {Role.OPERATOR, Role.EDITOR, Role.ADMIN},
    "operator": {Role.EDITOR, Role.ADMIN},
    "editor": {Role.ADMIN},
}


@pytest.mark.parametrize("role", MAY_NOT)
def test_a_refused_action_says_which_role_it_needs(stack: LocalStack, role: str) -> None:
    call = stack.as_(role)
    for (method, path), needed in ROLES.items():
        if needed is OPEN or needed not in MAY_NOT[role]:
            continue
        with pytest.raises(Refused, match=f"needs the role {needed}; the token's role is {role}") as refused:
            call(method, path.replace("{", "").replace("}", ""))
        assert refused.value.status == 403, (method, path)


def headers_of(stack: LocalStack, method: str, path: str) -> tuple[int, dict[str, str]]:
    base = urlsplit(stack.base_url)
    with contextlib.closing(http.client.HTTPConnection(base.netloc, timeout=60)) as connection:
        connection.request(method, base.path + path)
        answer = connection.getresponse()
        answer.read()
        return answer.status, dict(answer.getheaders())


def test_a_401_and_a_wrong_method_tell_a_program_what_to_do(stack: LocalStack) -> None:
    status, headers = headers_of(stack, "GET", "/tasks")
    assert (status, headers["WWW-Authenticate"]) == (401, CHALLENGE)
    for method, path, allowed in (("PUT", "/tasks", "GET, POST"), ("DELETE", "/tasks/a/run", "POST")):
        status, headers = headers_of(stack, method, path)
        assert (status, headers["Allow"]) == (405, allowed)


@pytest.fixture(scope="module")
def task_id(stack: LocalStack) -> str:
    """A real export: the orders that the sample shop has."""
    call = stack.as_("editor")
    (report,) = call("GET", "/reports?search=Shop%20orders")["items"]
    task = {
        "name": "Orders of a day",
        "kind": "report_export",
        "spec": {"report_id": report["report_id"], "compression": "gzip"},
        "schedule": {"type": "cron", "expression": "0 4 * * *"},
        "window": {"type": "rolling", "n": 1, "unit": "day"},
    }
    made: str = call("POST", "/tasks", task)["task_id"]
    return made


def test_an_export_is_run_read_downloaded_run_again_and_deleted(stack: LocalStack, task_id: str) -> None:
    viewer, operator = stack.as_("viewer"), stack.as_("operator")
    job_id = operator("POST", f"/tasks/{task_id}/run", {})["job_id"]
    job = wait_until_ended(viewer, job_id)
    assert (job["status"], job["operator"]) == ("succeeded", "token:local operator")

    (manifest,) = viewer("GET", f"/jobs/{job_id}/files")["items"]
    (link,) = viewer("GET", f"/jobs/{job_id}/download")["items"]
    content = opened(link["url"])
    assert hashlib.sha256(content).hexdigest() == manifest["sha256"]
    assert len(list(csv.reader(gzip.decompress(content).decode().splitlines(keepends=True)))) == manifest["rows"] + 1

    lines = viewer("GET", f"/jobs/{job_id}/logs?limit=1000")["items"]
    assert any("orders" in line["message"] for line in lines)
    told = opened(viewer("GET", f"/jobs/{job_id}/logs/download?format=jsonl")["url"])
    downloaded = [json.loads(line)["message"] for line in text_of(told).splitlines()]
    assert downloaded == [line["message"] for line in lines]
    as_text = text_of(opened(viewer("GET", f"/jobs/{job_id}/logs/download")["url"]))
    assert all(line["message"] in as_text for line in lines)

    operator("POST", f"/jobs/{job_id}/rerun", {})
    again = wait_until_ended(viewer, job_id)
    assert (again["status"], again["run_no"]) == ("succeeded", 2)
    assert (again["window_start"], again["window_end"]) == (job["window_start"], job["window_end"])
    runs = viewer("GET", f"/jobs/{job_id}/runs")["items"]
    assert [(run["run_no"], run["status"]) for run in runs] == [(2, "succeeded"), (1, "succeeded")]

    operator("DELETE", f"/jobs/{job_id}")
    with pytest.raises(Refused, match="JobNotFound"):
        viewer("GET", f"/jobs/{job_id}")


def opened(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
        content: bytes = answer.read()
    return content


def text_of(content: bytes) -> str:
    """Logs are kept packed; who opens the link gets them as they are kept."""
    return (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode()


def test_a_running_export_is_cancelled_and_its_record_tells_when(stack: LocalStack) -> None:
    viewer, operator = stack.as_("viewer"), stack.as_("operator")
    job_id = start_counting(stack, stack.state.data / "to-cancel.db")
    with pytest.raises(Refused, match="only an ended job can be deleted") as refused:
        operator("DELETE", f"/jobs/{job_id}")
    assert refused.value.status == 409
    operator("POST", f"/jobs/{job_id}/cancel", {})
    job = wait_until_ended(viewer, job_id)
    assert (job["status"], job["reason"], job["cancel_requested_by"]) == ("canceled", "by_user", "token:local operator")
    assert job["cancel_requested_at"] <= job["stopped_at"] <= job["canceled_at"]
    assert viewer("GET", f"/jobs/{job_id}/files")["items"] == []
    with pytest.raises(Refused, match="has ended: it is canceled") as refused:
        operator("POST", f"/jobs/{job_id}/cancel", {})
    assert refused.value.status == 409
    asked = f"record_type=job&record_id={job_id}&actor=token:local%20operator&action=cancel"
    (entry,) = stack.as_("admin")("GET", f"/audit?{asked}")["items"]
    assert entry["role"] == "operator"


def test_jobs_of_a_paused_pool_are_moved_and_cancelled_in_a_batch(stack: LocalStack, task_id: str) -> None:
    viewer, operator = stack.as_("viewer"), stack.as_("operator")
    paused = operator("PATCH", "/pools/cloud", {"paused": True, "note": "the source moves"})
    try:
        assert paused["paused"] is True
        ids = [operator("POST", f"/tasks/{task_id}/run", {})["job_id"] for _ in range(3)]
        assert operator("PATCH", f"/jobs/{ids[2]}", {"priority": 5000})["priority"] == 5000
        assert viewer("GET", f"/jobs/{ids[2]}")["queue"]["paused"] is True
        assert viewer("GET", "/pools/cloud")["waiting"] >= 3

        wish = {"action": "cancel", "filter": {"task_id": task_id, "status": ["waiting"]}}
        shown = operator("POST", "/jobs/batch", wish | {"dry_run": True})
        assert (shown["matched"], shown["taken"]) == (3, 3)
        batch = ended_batch(viewer, operator("POST", "/jobs/batch", wish)["batch_id"])
        assert (batch["status"], batch["counts"]["done"], batch["total"]) == ("done", 3, 3)
        assert {row["job_id"] for row in batch["outcomes"]["items"]} == set(ids)
        found = viewer("GET", f"/jobs?task_id={task_id}&status=canceled&reason=by_user")
        assert {job["job_id"] for job in found["items"]} == set(ids)

        ids.append("01JAAAAAAAAAAAAAAAAAAAAAAA")
        deletion = operator("POST", "/jobs/batch", {"action": "delete", "job_ids": ids})
        batch = ended_batch(viewer, deletion["batch_id"])
        assert (batch["counts"]["done"], batch["counts"]["not_found"]) == (3, 1)
    finally:
        assert operator("PATCH", "/pools/cloud", {"paused": False, "note": ""})["paused"] is False


def ended_batch(call: Caller, batch_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (batch := call("GET", f"/batches/{batch_id}"))["ended_at"] is None:
        assert time.monotonic() < deadline, batch
        time.sleep(0.2)
    found: dict[str, Any] = batch
    return found
