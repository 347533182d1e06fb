"""The whole API once, on a stack that enforces the roles of the functions: what `api` may not do shows as a 500."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.api.roles import ROLES
from infra.local.address import Refused
from tests.e2e.local_stack import LocalStack, wait_until_ended


class Tour:
    """Calls the API as an admin and remembers which routes were taken."""

    def __init__(self, stack: LocalStack):
        self.call = stack.as_("admin")
        self.taken: set[tuple[str, str]] = set()
        self.refused: list[str] = []

    def __call__(self, method: str, route: str, body: Any = None, *, query: str = "", **ids: str) -> Any:
        self.taken.add((method, route))
        try:
            return self.call(method, route.format(**ids) + query, body)
        except Refused as refused:
            # A job may be over before it can be canceled.
            if refused.status != 409:
                self.refused.append(f"{method} {route}: {refused}")
            return None


def ended(tour: Tour, job_id: str) -> dict[str, Any]:
    tour.taken.add(("GET", "/jobs/{job_id}"))
    return wait_until_ended(tour.call, job_id)


@pytest.fixture(scope="module")
def tour(stack: LocalStack) -> Tour:
    tour = Tour(stack)
    source = {"name": "toured", "kind": "sqlite", "settings": {"path": "shop.db"}}
    source_id = tour("POST", "/sources", source)["source_id"]
    tour("POST", "/sources/{source_id}/test", source_id=source_id)
    report = {"name": "toured", "source_id": source_id, "queries": [{"name": "all", "sql": "SELECT * FROM products"}]}
    report_id = tour("POST", "/reports", report)["report_id"]
    tour("POST", "/reports/{report_id}/preview", {}, report_id=report_id)
    days = {"name": "toured", "covers_from": "2026-01-01", "covers_to": "2026-12-31", "days": {"2026-01-01": "off"}}
    calendar_id = tour("POST", "/calendars", days)["calendar_id"]
    task = {
        "name": "toured",
        "kind": "report_export",
        "enabled": False,
        "spec": {"report_id": report_id},
        "schedule": {"type": "cron", "expression": "0 4 * * *", "calendar": calendar_id},
    }
    task_id = tour("POST", "/tasks", task)["task_id"]
    tour("POST", "/schedules/preview", {"schedule": task["schedule"], "count": 3})
    tour("POST", "/tasks/{task_id}/enable", {}, task_id=task_id)
    tour("POST", "/tasks/{task_id}/disable", {"note": "enough"}, task_id=task_id)
    tour("PATCH", "/tasks/{task_id}", {"description": "seen"}, task_id=task_id)
    tour("PUT", "/tasks/{task_id}", task, task_id=task_id)

    job_id = tour("POST", "/tasks/{task_id}/run", {}, task_id=task_id)["job_id"]
    assert ended(tour, job_id)["status"] == "succeeded"
    tour("POST", "/jobs/{job_id}/rerun", {}, job_id=job_id)
    tour("PATCH", "/jobs/{job_id}", {"priority": 2000}, job_id=job_id)
    tour("POST", "/jobs/{job_id}/cancel", {}, job_id=job_id)
    ended(tour, job_id)
    tour("POST", "/jobs/{job_id}/rerun", {}, job_id=job_id)
    assert ended(tour, job_id)["status"] == "succeeded"
    # Each is read from an index of its own.
    for query in (
        "status=succeeded", f"task_id={task_id}", "operator=system", "created=month", "kind=report_export", "group=a",
        "pool=cloud", "trigger=manual", "reason=error", f"source_id={source_id}", "account_id=a", "action=a",
        "search=toured",
    ):  # fmt: skip
        tour("GET", "/jobs", query=f"?{query}")
    for query in ("actor=olga", "action=create", "record_type=task", f"record_type=task&record_id={task_id}"):
        tour("GET", "/audit", query=f"?{query}")
    batch = {"action": "rerun", "job_ids": [job_id]}
    batch_id = tour("POST", "/jobs/batch", batch)["batch_id"]
    tour("POST", "/batches/{batch_id}/cancel", {}, batch_id=batch_id)
    wait_until_ended(tour.call, job_id)
    pause = {"paused": False, "note": "toured"}
    tour("PATCH", "/pools/{pool_id}", pause, pool_id="cloud")

    token_id = tour("POST", "/tokens", {"name": "toured", "role": "viewer"})["token_id"]
    ids = {
        "task_id": task_id,
        "source_id": source_id,
        "report_id": report_id,
        "calendar_id": calendar_id,
        "token_id": token_id,
        "job_id": job_id,
        "batch_id": batch_id,
        "pool_id": "cloud",
    }
    for method, route in sorted(ROLES):
        if method in ("GET", "HEAD"):
            tour(method, route, **ids)
    tour("PUT", "/sources/{source_id}", source, **ids)
    tour("PUT", "/reports/{report_id}", report, **ids)
    tour("PUT", "/calendars/{calendar_id}", days, **ids)
    # What is used goes after what uses it.
    for record in ("token", "job", "task", "report", "source", "calendar"):
        tour("DELETE", f"/{record}s/{{{record}_id}}", **ids)
    return tour


def test_no_call_lacks_a_permission(tour: Tour) -> None:
    assert not tour.refused, "\n".join(tour.refused)


def test_the_tour_misses_no_route(tour: Tour) -> None:
    assert set(ROLES) - tour.taken == set()
