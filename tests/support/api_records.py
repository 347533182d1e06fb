"""Makes records through the API. Takes overrides only."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.support.http import Http
from tests.support.world import World

DATABASE = "shop.db"


# A task of these tests fires at 02:00 of a zone where that is hours away: no slot comes between two calls of a test.
ZONE = "Europe/Berlin" if 16 <= datetime.now(UTC).hour < 18 else "Asia/Shanghai"


@dataclass(frozen=True)
class Make:
    admin: Http
    world: World

    def source_body(self, **changes: Any) -> dict[str, Any]:
        path = self.world.data_folder / DATABASE
        if not path.exists():
            with sqlite3.connect(path) as connection:
                connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT, customer TEXT, amount TEXT)")
                connection.executemany(
                    "INSERT INTO orders VALUES (?, ?, ?, ?)",
                    [(n, f"2026-03-01 {n:02}:00:00", "张伟" if n % 2 else None, f"{n}.10") for n in range(24)],
                )
            connection.close()
        return {"name": "Shop", "kind": "sqlite", "settings": {"path": DATABASE}} | changes

    def postgres_body(self, **changes: Any) -> dict[str, Any]:
        # Nothing listens there: port 1 of loopback.
        settings = {"host": "127.0.0.1", "port": 1, "database": "shop", "user": "carillon", "connect_timeout": 2}
        return {"name": "Shop", "kind": "postgres", "settings": settings, "password": "hunter2-secret"} | changes

    def report_body(self, **changes: Any) -> dict[str, Any]:
        if "source_id" not in changes:
            changes["source_id"] = self.source()["source_id"]
        queries = [{"name": "orders", "sql": "SELECT id, at, customer, amount FROM orders ORDER BY id"}]
        return {"name": "Orders", "queries": queries} | changes

    def task_body(self, **changes: Any) -> dict[str, Any]:
        if "spec" not in changes:
            changes["spec"] = {"report_id": self.report()["report_id"]}
        schedule = {"type": "cron", "expression": "0 2 * * *", "timezone": ZONE}
        return {"name": "Daily orders", "kind": "report_export", "schedule": schedule} | changes

    def source(self, **changes: Any) -> dict[str, Any]:
        return self._post("/sources", self.source_body(**changes))

    def report(self, **changes: Any) -> dict[str, Any]:
        return self._post("/reports", self.report_body(**changes))

    def task(self, **changes: Any) -> dict[str, Any]:
        return self._post("/tasks", self.task_body(**changes))

    def job(self, **changes: Any) -> dict[str, Any]:
        return self._post(f"/tasks/{self.task(**changes)['task_id']}/run", {})

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self.admin.post(path, body)
        assert reply.status == 201, reply.raw
        found: dict[str, Any] = reply.json
        return found
