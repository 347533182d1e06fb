"""What a new local stack starts with: a token per role, and the shop as a source with a report and a task."""

from __future__ import annotations

from typing import Any

from infra import first_token
from infra.local.address import Caller, Refused

# The API makes each token but the first: a caller needs a token to ask for one.
ROLES = ("viewer", "operator", "editor")

SOURCE = {"name": "Shop", "kind": "sqlite", "settings": {"path": "shop.db"}}

# Every statement names its window, so the same report serves an hour, a day and a backfill.
ORDERS = """
SELECT o.order_id, o.ordered_at, c.name AS customer, c.email, c.city, o.status, p.name AS product, i.quantity,
       i.unit_price, o.discount, round(i.quantity * i.unit_price, 2) AS amount, o.note
FROM orders o
JOIN customers c ON c.customer_id = o.customer_id
JOIN order_items i ON i.order_id = o.order_id
JOIN products p ON p.product_id = i.product_id
WHERE o.ordered_at >= :window_start AND o.ordered_at < :window_end
ORDER BY o.order_id, i.line
""".strip()

REPORT = {"name": "Shop orders", "queries": [{"name": "orders", "sql": ORDERS}]}

TASK: dict[str, Any] = {
    "name": "Shop orders of the last hour",
    "kind": "report_export",
    "enabled": True,
    "group": "samples",
    "description": "Exports the orders of the last sixty minutes every five minutes.",
    "spec": {
        "format": "csv",
        "compression": "gzip",
        "file_name": "{task}-{window_start:%Y%m%d-%H%M}.csv.gz",
    },
    "schedule": {"type": "cron", "expression": "*/5 * * * *", "timezone": "UTC"},
    "window": {"type": "rolling", "n": 60, "unit": "minute"},
}


def tokens(base_url: str, stack: str) -> dict[str, str]:
    """A token per role, the admin's first."""
    made = {"admin": first_token.make(stack, name="local admin")}
    call = Caller(base_url, made["admin"])
    for role in ROLES:
        made[role] = call("POST", "/tokens", {"name": f"local {role}", "role": role})["token"]
    return made


def works(known: dict[str, str], base_url: str) -> bool:
    """Whether tokens of an earlier start are still good, which they are unless the state was lost."""
    try:
        Caller(base_url, known["admin"])("GET", "/me")
    except Refused:
        return False
    return True


def samples(call: Caller) -> str:
    """Load the sample source, report and task, each once; answers the task's id."""
    source = call("POST", "/sources", SOURCE, key="sample-source")
    report = call("POST", "/reports", REPORT | {"source_id": source["source_id"]}, key="sample-report")
    task = TASK | {"spec": {**TASK["spec"], "report_id": report["report_id"]}}
    found: str = call("POST", "/tasks", task, key="sample-task")["task_id"]
    return found
