"""Every route of the API, called once or more by an admin: who may not do what it takes shows here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chalicelib.api.roles import ROLES
from infra.local.address import Refused

Call = Callable[..., Any]


@dataclass
class Tour:
    """`call(method, path, body, key=…)` answers the JSON or raises Refused; `settle` answers a job once it ended."""

    call: Call
    settle: Callable[[str], dict[str, Any]]
    taken: set[tuple[str, str]] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def __call__(
        self, method: str, route: str, body: Any = None, *, query: str = "", key: str | None = None, **ids: str
    ) -> Any:
        self.taken.add((method, route))
        try:
            return self.call(method, route.format(**ids) + query, body, key=key)
        except Refused as refused:
            # A job may be over before it can be canceled.
            if refused.status != 409:
                self.refused.append(f"{method} {route}: {refused}")
            return None

    def ended(self, job_id: str) -> dict[str, Any]:
        self.taken.add(("GET", "/jobs/{job_id}"))
        return self.settle(job_id)


def take(call: Call, settle: Callable[[str], dict[str, Any]]) -> Tour:
    """Tour a stage whose data folder has `shop.db` with a table of products."""
    tour = Tour(call, settle)
    source = {"name": "toured", "kind": "sqlite", "max_concurrency": 2, "settings": {"path": "shop.db"}}
    # The second is answered as the first.
    for _ in range(2):
        source_id = tour("POST", "/sources", source, key="toured")["source_id"]
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
    assert tour.ended(job_id)["status"] == "succeeded"
    tour("POST", "/jobs/{job_id}/rerun", {}, job_id=job_id)
    tour("PATCH", "/jobs/{job_id}", {"priority": 2000}, job_id=job_id)
    tour("POST", "/jobs/{job_id}/cancel", {}, job_id=job_id)
    tour.ended(job_id)
    tour("POST", "/jobs/{job_id}/rerun", {}, job_id=job_id)
    assert tour.ended(job_id)["status"] == "succeeded"
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
    tour.settle(job_id)
    pause = {"paused": False, "note": "toured"}
    tour("PATCH", "/pools/{pool_id}", pause, pool_id="cloud")

    for action in ({"action": "set_priority", "priority": 1}, {"action": "cancel"}, {"action": "delete"}):
        tour("POST", "/jobs/batch", {**action, "filter": {"task_id": task_id}, "dry_run": True})
    with_a_password(tour)
    with_a_rule(tour, task)
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
    for record in ("source", "report", "calendar"):
        tour("PATCH", f"/{record}s/{{{record}_id}}", {"description": "seen"}, **ids)
    tour("PUT", "/sources/{source_id}", source, **ids)
    tour("PUT", "/reports/{report_id}", report, **ids)
    tour("PUT", "/calendars/{calendar_id}", days, **ids)
    # What is used goes after what uses it.
    for record in ("token", "job", "task", "report", "source", "calendar"):
        tour("DELETE", f"/{record}s/{{{record}_id}}", **ids)
    return tour


def with_a_password(tour: Tour) -> None:
    """A source that has a secret, which changes and goes with it."""
    settings = {"host": "db.example.com", "database": "shop", "user": "reader"}
    source = {"name": "guarded", "kind": "postgres", "settings": settings, "password": "first"}
    source_id = tour("POST", "/sources", source)["source_id"]
    tour("PUT", "/sources/{source_id}", {**source, "password": "second"}, source_id=source_id)
    tour("PATCH", "/sources/{source_id}", {"password": "third"}, source_id=source_id)
    tour("DELETE", "/sources/{source_id}", source_id=source_id)


def with_a_rule(tour: Tour, task: dict[str, Any]) -> None:
    """A task that has a rule of EventBridge, which changes and goes with it."""
    ruled = {**task, "name": "ruled", "trigger": "eventbridge", "schedule": {"type": "cron", "expression": "0 4 * * *"}}
    task_id = tour("POST", "/tasks", ruled)["task_id"]
    tour("POST", "/tasks/{task_id}/enable", {}, task_id=task_id)
    tour("DELETE", "/tasks/{task_id}", task_id=task_id)
