"""An export that runs as long as a test wants: its one query counts as far as a table says."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.e2e.local_stack import PATIENCE_SECONDS, LocalStack

COUNTING = """
WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < (SELECT max(upto) FROM ends))
SELECT count(*) AS counted FROM counted
""".strip()


def start_counting(stack: LocalStack, ends: Path) -> str:
    """A job that runs for hours; answers its id when it runs. `ends` is a file to be made, in the stack's data."""
    with closing(sqlite3.connect(ends)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE ends (upto INTEGER)")
        connection.execute("INSERT INTO ends VALUES (100000000000)")
    call = stack.as_("admin")
    source = call("POST", "/sources", {"name": ends.stem, "kind": "sqlite", "settings": {"path": ends.name}})
    queries = [{"name": "counted", "sql": COUNTING}]
    report = call("POST", "/reports", {"name": ends.stem, "source_id": source["source_id"], "queries": queries})
    task = {
        "name": ends.stem,
        "kind": "report_export",
        "spec": {"report_id": report["report_id"]},
        "schedule": {"type": "cron", "expression": "0 4 * * *"},
        "retry": {"max_attempts": 2, "delay_seconds": 0},
    }
    task_id = call("POST", "/tasks", task)["task_id"]
    job_id: str = call("POST", f"/tasks/{task_id}/run", {})["job_id"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while call("GET", f"/jobs/{job_id}")["status"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return job_id
