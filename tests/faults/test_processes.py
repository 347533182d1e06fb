"""Several processes and threads at once, on an emulator that is a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.access.actor import Actor
from chalicelib.aws.clients import client
from chalicelib.catalogue import reports, sources
from chalicelib.clock import Clock
from chalicelib.core.lifecycle import JobStatus, Reason, RunStatus
from chalicelib.maintenance import sweep
from chalicelib.queue import claim
from chalicelib.scheduling import tick as scheduling_tick
from chalicelib.store import jobs as job_store
from chalicelib.store import runs as run_store
from chalicelib.store.job_record import JobRecord
from chalicelib.tasks import starts
from chalicelib.worker import worker
from tests.support import flights
from tests.support.ministack import environment, ministack_world
from tests.support.postgres import PostgresServer
from tests.support.simulator import OPERATOR, a_stage, body_of
from tests.support.waiting import PATIENCE_SECONDS, wait_for
from tests.support.world import World

ADMIN = Actor(name="ada", role="admin")
# Both ticks have all of them to plan, each minute.
TASKS = 200


@pytest.fixture
def emulated(ministack: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with ministack_world(ministack, monkeypatch) as world:
        yield world
        client("sqs").meta.events.unregister("before-parameter-build.sqs.SendMessageBatch", unique_id="tests-delay")


def due_tasks(stage: Any, count: int, *, minutes: str) -> None:
    schedule = {"type": "cron", "expression": f"{minutes} 9 * * *"}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: stage.task(schedule=schedule), range(count)))


def slots_of(jobs: list[JobRecord]) -> Counter[tuple[str, datetime]]:
    return Counter((job.task_id, job.scheduled_for) for job in jobs)


def test_two_ticks_at_once_ten_times_over_make_one_job_per_slot(
    emulated: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = a_stage(emulated, monkeypatch)
    due_tasks(stage, TASKS, minutes="30-39")
    for minute in range(30, 40):
        now = stage.now.replace(minute=minute) - timedelta(seconds=5)
        barrier = threading.Barrier(2)

        def tick(_: int, now: datetime = now, barrier: threading.Barrier = barrier) -> scheduling_tick.Fired:
            barrier.wait()
            return scheduling_tick.tick(now=now)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(tick, range(2)))
    found = slots_of(list(JobRecord.scan()))
    assert len(found) == TASKS * 10
    assert set(found.values()) == {1}


def test_a_thousand_tasks_due_in_the_same_second_are_a_thousand_jobs(
    emulated: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = a_stage(emulated, monkeypatch)
    due_tasks(stage, 1_000, minutes="45")
    scheduling_tick.tick(now=stage.now.replace(minute=44, second=20))
    found = slots_of(list(JobRecord.scan()))
    assert len(found) == 1_000
    assert set(found.values()) == {1}
    assert {slot for _, slot in found} == {datetime(2026, 3, 2, 9, 45, tzinfo=UTC)}


def test_a_worker_killed_in_the_middle_of_an_export_is_replaced(
    emulated: World,
    ministack: int,
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = a_stage(emulated, monkeypatch)
    with postgres.fresh_database() as database:
        flights.load(database)
        # A row takes PostgreSQL's shortest sleep, a millisecond: minutes for all, so that the kill comes in the middle.
        # Two thousand rows are a part in S3.
        slowly = "SELECT f.*, repeat('x', 4000) AS wide, pg_sleep(0.001) FROM flights f"
        common = {"name": "Flights", "description": ""}
        source = {**common, "kind": "postgres", "settings": database.settings, "password": database.password}
        source_id = sources.create(source, actor=ADMIN, now=stage.now).source_id
        query = {"name": "flights", "sql": slowly}
        report = {**common, "source_id": source_id, "queries": [query], "parameters": []}
        report_id = reports.create(report, actor=ADMIN, now=stage.now).report_id
        task = stage.task(
            kind="report_export", spec={"report_id": report_id}, enabled=False,
            retry={"max_attempts": 2, "delay_seconds": 0},
        )  # fmt: skip
        now = datetime.now(UTC)
        job = starts.run(task.task_id, actor=OPERATOR, now=now)

        # Longer than a busy machine takes to come to the kill; what happens after it has its own clock.
        lease = timedelta(minutes=10)
        words = [sys.executable, "-m", "tests.faults.work_once", str(lease.total_seconds()), body_of(job)]
        victim = subprocess.Popen(words, env={**os.environ, **environment(ministack)})
        s3 = client("s3")
        uploads = wait_for(lambda: s3.list_multipart_uploads(Bucket=emulated.bucket).get("Uploads"), 300)
        victim.send_signal(signal.SIGKILL)
        assert victim.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        assert job_store.get(job.job_id).status == JobStatus.RUNNING
        assert len(uploads) == 1

        query["sql"] = "SELECT count(*) FROM flights"
        reports.replace(str(report_id), report, revision=None, actor=ADMIN, now=now)
        held_until = job_store.get(job.job_id).lease_until
        sweep.sweep(now=held_until)
        assert job_store.get(job.job_id).status == JobStatus.RUNNING, "its lease has not expired"
        later = held_until + timedelta(seconds=1)
        sweep.sweep(now=later)
        second = claim.Worker("second", later + timedelta(minutes=15), Clock(now=lambda: later))
        worker.handle(body_of(job), worker=second)

    done = job_store.get(job.job_id)
    assert (done.status, done.error) == (JobStatus.SUCCEEDED, None)
    first, last = sorted(run_store.newest(job.job_id, None), key=lambda run: run.run_no)
    assert (first.status, first.reason, first.worker) == (RunStatus.FAILED, Reason.WORKER_LOST, "to-be-killed")
    assert (last.status, last.reason, last.worker) == (RunStatus.SUCCEEDED, None, "second")
    assert not s3.list_multipart_uploads(Bucket=emulated.bucket).get("Uploads")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=emulated.bucket, Prefix="files/")["Contents"]]
    assert all(key.startswith(f"files/report_export/{job.job_id}/2/") for key in keys)
