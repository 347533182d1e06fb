"""Each function may do what it does. A local stack enforces the policies too; here every way a job can go is walked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.api.models.catalogue import ReportIn, ReportQuery, SourceIn
from chalicelib.catalogue import reports, sources
from chalicelib.core.lifecycle import ENDED
from chalicelib.errors import ConnectionDropped
from chalicelib.jobs import actions, batches, deletion
from chalicelib.jobs.actions import Action
from chalicelib.jobs.batches import BatchRequest
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.maintenance import integrity
from chalicelib.store import jobs as job_store
from chalicelib.store import tasks as store
from chalicelib.store.job_record import JobRecord
from chalicelib.tasks import events as fires
from tests.infra.calls import Need, allowed, noting
from tests.support.rule_console import edit
from tests.support.simulator import OPERATOR, PROBE, Stage

# What the test does in the stead of Lambda, which takes messages off the queue.
DELIVERY = {("sqs:ReceiveMessage", "WorkQueue"), ("sqs:DeleteMessage", "WorkQueue")}


class Walk:
    """A stage whose functions are noted apart."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch):
        self.stage = stage
        self.needed: dict[str, set[Need]] = {"tick": set(), "sweep": set(), "work": set(), "fire": set()}
        for function in ("tick", "sweep", "work"):
            monkeypatch.setattr(stage, function, self.noted(function, getattr(stage, function)))
        self.fire = self.noted("fire", lambda event: fires.fire(event, invocation_id="i", now=stage.now))

    def noted(self, function: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*given: Any) -> Any:
            with noting(self.needed[function]):
                return act(*given)

        return acting


def fail(context: RunContext) -> Outcome:
    raise ConnectionDropped("The connection broke.")


def die(context: RunContext) -> Outcome:
    raise KeyboardInterrupt


@pytest.fixture
def walked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[Need]]:
    """Jobs that succeed, fail, are tried again, overlap, lose their token or their worker, and are canceled."""
    # One shard of each index instead of four: the same calls, fewer of the idle ones.
    monkeypatch.setattr("chalicelib.store.tasks.DUE_SHARDS", 1)
    for module in ("store.jobs", "maintenance.sweep"):
        monkeypatch.setattr(f"chalicelib.{module}.LEASE_SHARDS", 1)
    walk = Walk(stage, monkeypatch)
    for overlap in ("skip", "buffer_all", "cancel_other"):
        stage.task(overlap=overlap)
    stage.minutes(2)
    PROBE.behaviour = fail
    stage.task(retry={"max_attempts": 2, "delay_seconds": 60})
    stage.minutes(2)
    PROBE.behaviour = die
    stage.tick()
    with pytest.raises(KeyboardInterrupt):
        stage.minutes(1)
    PROBE.behaviour = lambda context: Outcome(rows=1)
    stage.messages.clear()
    for job in stage.open_jobs()[:2]:
        actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)
    for _ in range(6):
        stage.world.now += timedelta(minutes=6)
        stage.sweep()
    stage.minutes(1)
    export(stage, walk)
    with_rules(stage, walk)
    with_batches(stage, walk)
    integrity_checked(stage)
    return walk.needed


def integrity_checked(stage: Stage) -> None:
    """The hourly integrity check, with a run and a column to repair."""
    run = stage.runs()[-1]
    run.delete()
    job_store.get(run.job_id).update([JobRecord.rank.set(1)])
    stage.world.now = (stage.now + timedelta(hours=1)).replace(minute=integrity.MINUTE)
    assert stage.sweep().repaired >= 2


def with_batches(stage: Stage, walk: Walk) -> None:
    """A batch of each action on jobs that ran; one whose message is lost; a delete that breaks off."""
    ended = [job.job_id for job in stage.jobs() if job.status in ENDED and job.files][:1]
    ended += [job.job_id for job in stage.jobs() if job.status in ENDED and job.run_no and not job.files][:1]
    for action in (Action.RERUN, Action.SET_PRIORITY, Action.CANCEL, Action.DELETE):
        priority = 1 if action is Action.SET_PRIORITY else None
        chosen = ended[1:] if action is Action.DELETE else ended
        batches.accept(BatchRequest(action, job_ids=chosen, priority=priority), actor=OPERATOR, now=stage.now)
        if action is Action.DELETE:
            stage.world.messages()
            stage.world.now += timedelta(minutes=3)
            stage.sweep()
        stage.collect()
        for message in [each for each in stage.messages if "batch" in each.body]:
            stage.work(message.body)
    assert job_store.get_many(ended[1:]) == []
    last = job_store.get(ended[0])
    assert deletion.begin(last, actor=OPERATOR, at=stage.now, now=stage.now)
    stage.world.now += timedelta(minutes=3)
    stage.sweep()
    assert job_store.find(ended[0]) is None


def with_rules(stage: Stage, walk: Walk) -> None:
    """Rules of tasks: put again, fired, edited in the console, deleted with their task."""
    missing, edited, doomed = (stage.task(name=name, trigger="eventbridge") for name in ("missing", "edited", "doomed"))
    store.note_rule(missing, expression=None, state=None)
    edit(stage, edited, State="DISABLED")
    store.remove(doomed.task_id, expected_revision=1)
    stage.world.now += timedelta(minutes=3)
    walk.fire({"task": edited.task_id, "trigger": "schedule", "scheduled_for": stage.now.isoformat()})
    edit(stage, edited, State="ENABLED")
    stage.world.now += timedelta(minutes=3)
    stage.sweep()
    assert store.get(edited.task_id).enabled


def export(stage: Stage, walk: Walk) -> None:
    """A real export, started by an event."""
    with sqlite3.connect(stage.world.data_folder / "walk.db") as database:
        database.execute("CREATE TABLE IF NOT EXISTS numbers AS SELECT 1 AS n")
    database.close()
    body: Any = SourceIn(name="walk", kind="sqlite", settings={"path": "walk.db"}).model_dump()
    source = sources.create(body, actor=OPERATOR, now=stage.now)
    queries = [ReportQuery(name="n", sql="SELECT n FROM numbers")]
    body = ReportIn(name="walk", source_id=source.source_id, queries=queries).model_dump()
    report = reports.create(body, actor=OPERATOR, now=stage.now)
    stage.task(name="walk", kind="report_export", enabled=False, spec={"report_id": report.report_id})
    walk.fire({"task": "walk"})
    stage.minutes(1)


def test_each_function_may_do_all_it_does(walked: dict[str, set[Need]]) -> None:
    missing = {function: needed - allowed(function) - DELIVERY for function, needed in walked.items()}
    assert not any(missing.values()), missing
