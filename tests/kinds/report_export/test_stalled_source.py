"""A source whose line neither answers nor breaks: the job ends in time, and its record says what is true."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.access.actor import Actor
from chalicelib.catalogue import reports, sources
from chalicelib.clock import Clock
from chalicelib.core.lifecycle import JobStatus, Reason
from chalicelib.jobs import actions
from chalicelib.queue import claim
from chalicelib.store import jobs as job_store
from chalicelib.store import runs
from chalicelib.store.job_record import JobRecord
from chalicelib.tasks import starts
from chalicelib.worker.worker import handle
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy
from tests.support.simulator import OPERATOR, Stage, body_of
from tests.support.waiting import PATIENCE_SECONDS, slowness, wait_for

ADMIN = Actor(name="ada", role="admin")
# However the network is: from the cancel, or from the end of a clock, to the end of the run.
END_SECONDS = 5.0
SLEEP = "SELECT pg_sleep(600) AS a"


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[PostgresServer]:
    with postgres.fresh_database() as database:
        yield database


@pytest.fixture
def line(database: PostgresServer) -> Iterator[Proxy]:
    with Proxy(database.port) as proxy:
        yield proxy


def begun(stage: Stage, database: PostgresServer, line: Proxy, **changes: Any) -> tuple[JobRecord, threading.Thread]:
    """A job whose query sleeps at the database, on a line that has just stalled, and its worker's thread."""
    common = {"name": "Slow", "description": ""}
    settings = {**database.settings, "port": line.port}
    source = {**common, "kind": "postgres", "settings": settings, "password": database.password}
    source_id = sources.create(source, actor=ADMIN, now=stage.now).source_id
    report = {**common, "source_id": source_id, "queries": [{"name": "q", "sql": SLEEP}], "parameters": []}
    report_id = str(reports.create(report, actor=ADMIN, now=stage.now).report_id)
    task = stage.task(kind="report_export", name="Slow", enabled=False, spec={"report_id": report_id}, **changes)
    now = datetime.now(UTC)
    job = starts.run(task.task_id, actor=OPERATOR, now=now)
    worker = claim.Worker("worker-1", now + timedelta(minutes=15), Clock())
    thread = threading.Thread(target=handle, args=(body_of(job),), kwargs={"worker": worker})
    thread.start()
    wait_for(lambda: any("pg_sleep" in query for query in database.statements_of(f"carillon {job.job_id}")))
    line.stall()
    return job, thread


def test_a_cancel_ends_the_run_within_five_seconds_and_the_record_says_when(
    stage: Stage, database: PostgresServer, line: Proxy
) -> None:
    job, thread = begun(stage, database, line)
    asked = time.monotonic()
    actions.cancel(job.job_id, actor=OPERATOR, now=datetime.now(UTC))
    while thread.is_alive() and time.monotonic() - asked < PATIENCE_SECONDS:
        # The worker still waits for the line, so nothing may say that its work has stopped.
        run = runs.find(job.job_id, 1)
        assert run is not None
        assert run.stopped_at is None or run.ended_at is not None
        thread.join(0.05)
    assert time.monotonic() - asked < END_SECONDS * slowness()
    done, run = job_store.get(job.job_id), runs.find(job.job_id, 1)
    assert run is not None
    assert (done.status, done.reason) == (JobStatus.CANCELED, Reason.BY_USER)
    assert done.cancel_requested_at <= done.stopped_at <= done.canceled_at
    # The server had its time to end the statement before the line was cut.
    assert done.stopped_at - done.cancel_requested_at > timedelta(seconds=2.5)
    assert run.statement_may_run is True
    assert "may still run there" in done.error
    assert database.statements_of(f"carillon {job.job_id}"), "and so it does"


def test_the_deadline_ends_the_run_within_five_seconds(stage: Stage, database: PostgresServer, line: Proxy) -> None:
    job, thread = begun(stage, database, line, deadline_seconds=4)
    thread.join(PATIENCE_SECONDS)
    done = job_store.get(job.job_id)
    assert (done.status, done.reason) == (JobStatus.TIMED_OUT, Reason.DEADLINE)
    assert (done.ended_at - done.first_started_at).total_seconds() < (4 + END_SECONDS) * slowness()


def test_the_statement_timeout_ends_the_run_within_five_seconds(
    stage: Stage, database: PostgresServer, line: Proxy
) -> None:
    job, thread = begun(stage, database, line, statement_timeout_seconds=3)
    thread.join(PATIENCE_SECONDS)
    done, run = job_store.get(job.job_id), runs.find(job.job_id, 1)
    assert run is not None
    assert (done.status, done.reason) == (JobStatus.TIMED_OUT, Reason.STATEMENT)
    assert (done.ended_at - done.first_started_at).total_seconds() < (3 + END_SECONDS) * slowness()
    assert run.statement_may_run is True
