"""The main job on real data in a real PostgreSQL: the rows of a window are the rows that the database itself gives."""

from __future__ import annotations

import gzip
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from chalicelib.access.actor import Actor
from chalicelib.catalogue import reports, sources
from chalicelib.clock import Clock
from chalicelib.core.lifecycle import JobStatus, Reason
from chalicelib.jobs import actions
from chalicelib.queue import claim
from chalicelib.store import jobs as job_store
from chalicelib.store.job_record import JobRecord
from chalicelib.tasks import starts
from chalicelib.worker.worker import handle
from tests.support import flights
from tests.support.postgres import PostgresServer
from tests.support.simulator import OPERATOR, Stage, body_of
from tests.support.waiting import PATIENCE_SECONDS, slowness, wait_for

NEW_YORK = ZoneInfo("America/New_York")
ORDER = "ORDER BY time_hour, carrier, flight, origin"
IN_WINDOW = f"SELECT * FROM flights WHERE time_hour >= :window_start AND time_hour < :window_end {ORDER}"
ADMIN = Actor(name="ada", role="admin")


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[PostgresServer]:
    with postgres.fresh_database() as database:
        assert flights.load(database) == flights.ROWS
        yield database


@pytest.fixture
def report(stage: Stage, database: PostgresServer) -> str:
    """The id of a report of the flights of the window."""
    return a_report(stage, database, IN_WINDOW)


def a_report(stage: Stage, database: PostgresServer, sql: str) -> str:
    common = {"name": "Flights", "description": ""}
    source = {**common, "kind": "postgres", "settings": database.settings, "password": database.password}
    source_id = sources.create(source, actor=ADMIN, now=stage.now).source_id
    report = {**common, "source_id": source_id, "queries": [{"name": "flights", "sql": sql}], "parameters": []}
    return str(reports.create(report, actor=ADMIN, now=stage.now).report_id)


def export_task(stage: Stage, report: str, **changes: Any) -> Any:
    spec = {"report_id": report, "compression": "gzip"}
    return stage.task(kind="report_export", name="Flights", **({"spec": spec} | changes))


def rows_of(stage: Stage, job: JobRecord) -> list[bytes]:
    """The data lines of the job's only file; the header is checked and left out."""
    assert (job.status, job.error) == (JobStatus.SUCCEEDED, None)
    [file] = job.files
    header, *rows = gzip.decompress(stage.world.objects()[file["key"]]).splitlines()
    assert header.decode().split(",") == list(flights.TYPES)
    assert len(rows) == file["rows"] == job.rows
    return rows


def test_yesterday_is_the_local_day_that_psql_gives(stage: Stage, report: str, database: PostgresServer) -> None:
    daily = {"type": "cron", "expression": "0 2 * * *", "timezone": "America/New_York"}
    task = export_task(stage, report, schedule=daily, window={"type": "yesterday"})
    slot = datetime(2013, 6, 15, 2, tzinfo=NEW_YORK)
    starts.run(task.task_id, scheduled_for=slot, actor=OPERATOR, now=stage.now)
    stage.deliver()
    job = next(job for job in stage.jobs() if job.operator)
    local_day = f"SELECT * FROM flights WHERE (time_hour AT TIME ZONE 'America/New_York')::date = '2013-06-14' {ORDER}"
    assert rows_of(stage, job) == database.copy(local_day).splitlines()[1:]
    assert job.rows > 900


def test_a_month_of_windows_since_the_previous_fire_is_the_month(
    stage: Stage, report: str, database: PostgresServer
) -> None:
    begin = datetime(2013, 3, 1, tzinfo=NEW_YORK)
    stage.world.now = begin.astimezone(UTC)
    midnight = {"type": "cron", "expression": "0 0 * * *", "timezone": "America/New_York"}
    export_task(stage, report, schedule=midnight, window={"type": "since_previous_fire"})
    for day in range(1, 32):
        fire = begin.replace(tzinfo=None) + timedelta(days=day)
        stage.world.now = fire.replace(tzinfo=NEW_YORK).astimezone(UTC) - timedelta(seconds=30)
        stage.minutes(1, sweep=False)
    fired = stage.jobs()
    # The clocks go forward on 10 March: the window of that day has 23 hours.
    hours = [(job.window_end - job.window_start) / timedelta(hours=1) for job in fired]
    assert hours == [24.0] * 9 + [23.0] + [24.0] * 21
    exported = Counter(row for job in fired for row in rows_of(stage, job))
    month = "SELECT * FROM flights WHERE date_trunc('month', time_hour AT TIME ZONE 'America/New_York') = '2013-03-01'"
    assert exported == Counter(database.copy(month).splitlines()[1:])


def test_a_running_export_is_cancelled_at_the_database_within_two_seconds(
    stage: Stage, database: PostgresServer
) -> None:
    report = a_report(stage, database, "SELECT n, pg_sleep(0.01) FROM generate_series(1, 100000) AS n")
    task = export_task(stage, report, enabled=False)
    now = datetime.now(UTC)
    job = starts.run(task.task_id, actor=OPERATOR, now=now)
    worker = claim.Worker("worker-1", now + timedelta(minutes=15), Clock())
    thread = threading.Thread(target=handle, args=(body_of(job),), kwargs={"worker": worker})
    thread.start()
    name = f"carillon {job.job_id}"
    wait_for(lambda: any("generate_series" in query for query in database.statements_of(name)))

    asked = time.monotonic()
    actions.cancel(job.job_id, actor=OPERATOR, now=datetime.now(UTC))
    wait_for(lambda: not database.statements_of(name))
    gone_after = time.monotonic() - asked
    thread.join(PATIENCE_SECONDS)

    done = job_store.get(job.job_id)
    assert gone_after <= 2.0 * slowness()
    assert (done.status, done.reason) == (JobStatus.CANCELED, Reason.BY_USER)
    assert done.cancel_requested_at <= done.stopped_at <= done.canceled_at
    assert [key for key in stage.world.objects() if not key.startswith("logs/")] == []
    assert "Uploads" not in stage.world.client("s3").list_multipart_uploads(Bucket=stage.world.bucket)
