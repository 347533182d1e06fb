"""Firing, claim, run, publishing and the job's end, each with the process dying before and after every call to AWS.

Afterwards ticks, sweeps and workers go on until nothing is left to do. Then each slot has one job, which ended once;
the files are whole and match their manifest; the bucket holds nothing else; no token waits; no multipart upload is
open.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus, RunStatus
from chalicelib.errors import ConnectionDropped
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.storage import upload
from chalicelib.store import tasks
from chalicelib.store.catalogue import ReportRecord, SourceRecord
from chalicelib.store.task_record import TaskRecord
from tests.faults.conftest import POINTS
from tests.faults.crash import Rig, rigged, surviving
from tests.support.simulator import PROBE, Stage
from tests.support.world import World, a_world

# The matrix is cut into pieces that test processes share.
PIECES = 6
ROWS = 3_000
PART_BYTES = 24 * 1024
SLOT = datetime(2026, 3, 2, 9, 1, tzinfo=UTC)
ONE_SLOT = {"type": "cron", "expression": "1 9 * * *", "end": "2026-03-02T23:00:00"}
RETRY = {"max_attempts": 5, "delay_seconds": 0}

Scenario = Callable[[Stage, Rig], None]


def shop(world: World) -> None:
    """A source with one table, and a report with two queries: one file of several parts, one small."""
    path = world.data_folder / "matrix.db"
    if not path.exists():
        with sqlite3.connect(path) as database:
            database.execute("create table orders (id integer primary key, note text)")
            database.executemany("insert into orders values (?, ?)", ((n, f"order {n} — 訂單") for n in range(ROWS)))
        database.close()
    common = {"creator": "olga", "created_at": world.now, "updated_at": world.now}
    SourceRecord("shop", name="Shop", kind="sqlite", settings={"path": "matrix.db"}, **common).save()
    queries = [
        {"name": "orders", "sql": "select id, note from orders order by id"},
        {"name": "totals", "sql": "select count(*) as n from orders"},
    ]
    ReportRecord("orders", name="Orders", source_id="shop", queries=queries, parameters=[], **common).save()


def minute(stage: Stage, rig: Rig) -> None:
    """One minute in which each process may die on its own: tick, sweep, and a worker per message."""
    surviving(rig, stage.tick)
    surviving(rig, stage.sweep)
    while not surviving(rig, stage.deliver):
        pass


def until_quiet(stage: Stage, rig: Rig) -> None:
    """Leases last until a Lambda's deadline: play the minutes around that, not every minute before it."""
    for step in (75, 60, 60, 900, 61, 61, 900, 61, 61, 900, 61, 3700):
        minute(stage, rig)
        if not stage.open_jobs() and not stage.messages and stage.now > SLOT + timedelta(minutes=2):
            break
        stage.world.forward(seconds=step)


def export(stage: Stage, rig: Rig) -> None:
    """A scheduled export, from its tick to its files."""
    stage.task(
        name="Daily", kind="report_export", spec={"report_id": "orders"}, schedule=ONE_SLOT, retry=RETRY, enabled=False
    )
    enable_quietly(stage)
    with rigged(rig):
        until_quiet(stage, rig)


def retry(stage: Stage, rig: Rig) -> None:
    """A job that fails once with a passing error, and is tried again a minute later."""

    def fails_once(context: RunContext) -> Outcome:
        if len(PROBE.runs) == 1:
            raise ConnectionDropped
        return Outcome(rows=1)

    PROBE.behaviour = fails_once
    stage.task(schedule=ONE_SLOT, retry=RETRY | {"delay_seconds": 60}, enabled=False)
    enable_quietly(stage)
    with rigged(rig):
        until_quiet(stage, rig)


def overlap(stage: Stage, rig: Rig) -> None:
    """Two slots of a task that buffers the second until the first has ended."""

    def runs_into_the_next(context: RunContext) -> Outcome:
        if len(PROBE.runs) == 1:
            stage.world.now = max(stage.now, SLOT + timedelta(minutes=1))
            stage.tick()
            stage.deliver()
        return Outcome(rows=1)

    PROBE.behaviour = runs_into_the_next
    two = {"type": "cron", "expression": "1,2 9 * * *", "end": "2026-03-02T23:00:00"}
    stage.task(schedule=two, retry=RETRY, overlap="buffer_all", misfire="catch_up", enabled=False)
    enable_quietly(stage)
    with rigged(rig):
        until_quiet(stage, rig)


def missed(stage: Stage, rig: Rig) -> None:
    """Slots missed during an outage, which the first tick after it finds."""
    many = {"type": "cron", "expression": "1-4 9 * * *", "end": "2026-03-02T23:00:00"}
    stage.task(schedule=many, misfire="skip", enabled=False)
    enable_quietly(stage)
    stage.world.now = SLOT + timedelta(minutes=30)
    with rigged(rig):
        for _ in range(3):
            minute(stage, rig)
            stage.world.forward(seconds=60)


def enable_quietly(stage: Stage) -> None:
    """Plan the slot without firing it, as a task saved long before its slot is."""
    [task] = TaskRecord.scan()
    task.enabled, task.next_fire_at, task.due_shard = True, SLOT, tasks.shard(task.task_id)
    task.save()


def check_missed(stage: Stage, rig: Rig) -> None:
    assert [(job.scheduled_for.minute, job.status) for job in stage.jobs()] == [
        (minute, JobStatus.MISSED) for minute in range(1, 5)
    ]
    [task] = TaskRecord.scan()
    assert task.next_fire_at is None, "the task has moved past all its slots"


def check(stage: Stage, rig: Rig, *, slots: int) -> None:
    jobs = stage.jobs()
    assert len(jobs) == slots == len({(job.task_id, job.scheduled_for) for job in jobs})
    assert [job.status for job in jobs] == [JobStatus.SUCCEEDED] * slots
    endings = [job_id for job_id, _ in rig.endings]
    assert sorted(endings) == sorted(job.job_id for job in jobs), "every job ends once"
    for job in jobs:
        runs = [run for run in stage.runs() if run.job_id == job.job_id]
        assert [run.run_no for run in runs] == list(range(1, int(job.run_no) + 1))
        assert (
            [run.status for run in runs].count(RunStatus.SUCCEEDED) == 1 == [runs[-1].status].count(RunStatus.SUCCEEDED)
        )
        assert (job.lease_until, job.active_task, job.ready_pool) == (None, None, None)
    assert stage.messages == [] == stage.world.messages()
    check_files(stage, jobs[0] if jobs[0].files else None)


def check_files(stage: Stage, job: Any) -> None:
    objects = {key: body for key, body in stage.world.objects().items() if not key.startswith("logs/")}
    s3 = stage.world.client("s3")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=stage.world.bucket)
    if job is None:
        assert objects == {}
        return
    large, small = job.files
    assert (large["rows"], small["rows"]) == (ROWS, 1)
    for file in job.files:
        assert hashlib.sha256(objects[file["key"]]).hexdigest() == file["sha256"]
        assert len(objects[file["key"]]) == file["bytes"]
        assert objects[file["key"]].count(b"\n") == file["rows"] + 1
    manifest = f"files/report_export/{job.job_id}/{int(job.run_no)}/manifest.json"
    assert sorted(objects) == sorted([manifest, large["key"], small["key"]]), "no half-written file stays"
    assert json.loads(objects[manifest])["files"] == job.files


# The scenarios, and how many of the slots of each are to be run.
SCENARIOS: dict[str, tuple[Scenario, int]] = {
    "export": (export, 1),
    "retry": (retry, 1),
    "overlap": (overlap, 2),
    "missed": (missed, 0),
}
# How many moments a scenario has in which the process can die, counted once for all pieces.
MOMENTS: dict[str, int] = {}


def play(scenario: Scenario, slots: int, monkeypatch: pytest.MonkeyPatch, at: int | None) -> Rig:
    from chalicelib.aws.clients import client
    from tests.support.simulator import a_stage

    with a_world() as world:
        shop(world)
        stage = a_stage(world, monkeypatch)
        rig = Rig(at)
        try:
            scenario(stage, rig)
            if slots:
                check(stage, rig, slots=slots)
            else:
                check_missed(stage, rig)
        except AssertionError as error:
            where = "undisturbed" if at is None else f"crash {at}: {rig.moments[at - 1]}"
            raise AssertionError(f"{where}: {error}") from error
        finally:
            client("sqs").meta.events.unregister("before-parameter-build.sqs.SendMessageBatch", unique_id="tests-delay")
    return rig


@pytest.mark.parametrize("piece", range(PIECES))
@pytest.mark.parametrize("name", SCENARIOS)
def test_dying_at_any_call_loses_nothing(
    name: str, piece: int, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    monkeypatch.setattr(upload, "FIRST_PART_BYTES", PART_BYTES)
    # Parts of the real size would make the matrix take an hour.
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1024)
    # One shard of each index instead of four: the same calls, fewer of the idle ones.
    for constant in ("store.tasks.DUE_SHARDS", "store.jobs.LEASE_SHARDS", "maintenance.sweep.LEASE_SHARDS"):
        monkeypatch.setattr(f"chalicelib.{constant}", 1)
    scenario, slots = SCENARIOS[name]
    if name not in MOMENTS:
        MOMENTS[name] = len(play(scenario, slots, monkeypatch, None).moments)
    points = range(1 + piece, MOMENTS[name] + 1, PIECES)
    for point in points:
        play(scenario, slots, monkeypatch, point)
    record_property(f"{POINTS} of {name}", len(points))
