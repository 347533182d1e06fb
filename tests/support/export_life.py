"""A job's whole life, counted: gzip exports of one source from the tick that plans their slot to their ends."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime

from chalicelib.catalogue import reports, sources
from chalicelib.core.lifecycle import JobStatus
from tests.faults.crash import as_bytes
from tests.support.simulator import OPERATOR, Stage
from tests.support.units import Meter

DATABASE = "life.db"
# Wide enough for an ordinary report: the manifest names each column.
COLUMNS = 12
SPEC = {"format": "csv", "compression": "gzip", "file_name": "{task}-{window_start:%Y%m%d}.csv.gz"}


def exports_lived(stage: Stage, count: int) -> Meter:
    """Let so many tasks fire in one second; each exports yesterday's orders. What that took, for all of them."""
    from chalicelib.aws.clients import client

    path = stage.world.data_folder / DATABASE
    path.unlink(missing_ok=True)
    names = [f"column_{number}" for number in range(1, COLUMNS)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE orders (at TEXT, {', '.join(f'{name} TEXT' for name in names)})")
        connection.executemany(
            f"INSERT INTO orders VALUES (?{', ?' * len(names)})",
            [(f"2026-03-01 {hour:02}:00:00", *names) for hour in range(24)],
        )
    now = stage.now
    source = sources.create(
        {"name": "Shop", "description": "", "kind": "sqlite", "settings": {"path": DATABASE}, "max_concurrency": None},
        actor=OPERATOR,
        now=now,
    )
    sql = "SELECT * FROM orders WHERE at >= :window_start AND at < :window_end ORDER BY at"
    report = reports.create(
        {
            "name": "Orders",
            "description": "",
            "source_id": source.source_id,
            "parameters": [],
            "queries": [{"name": "orders", "sql": sql}],
        },
        actor=OPERATOR,
        now=now,
    )
    for number in range(count):
        stage.task(
            name=f"Daily orders of shop {number}",
            kind="report_export",
            group="ops",
            spec={"report_id": report.report_id, **SPEC},
            schedule={"type": "calendar", "every": 1, "unit": "day", "at": "09:30:00", "timezone": "UTC"},
            window={"type": "yesterday"},
        )
    client("s3").meta.events.register("before-parameter-build.s3", as_bytes, unique_id="life-bytes")
    meter = Meter()
    with meter.attached():
        _to(stage, now.replace(hour=9, minute=29, second=5))
        stage.tick()
        # SQS counts whole seconds, so a token comes up to one second before its slot.
        _to(stage, now.replace(hour=9, minute=29, second=59, microsecond=500_000))
        stage.messages.sort(key=lambda message: message.due)
        for message in stage.messages:
            message.due = min(message.due, stage.now)
        stage.deliver()
    client("s3").meta.events.unregister("before-parameter-build.s3", unique_id="life-bytes")
    assert [job.status for job in stage.jobs()] == [JobStatus.SUCCEEDED] * count, [job.error for job in stage.jobs()]
    return meter


def _to(stage: Stage, instant: datetime) -> None:
    stage.world.now = instant
