"""A batch of each action, and each action on one job, with the process dying at every call to AWS.

The request for a batch is not repeated: `sweep` alone goes on with it. Then every job has one outcome and was acted on
once, or there is no batch and no job was touched. The request for a single action is repeated under its key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.api import idempotency
from chalicelib.api.idempotency import Answer
from chalicelib.aws.clients import client
from chalicelib.core.lifecycle import JobStatus, RunStatus
from chalicelib.jobs import actions, batch_listing, batch_worker, batches
from chalicelib.jobs.actions import Action
from chalicelib.jobs.batches import BatchRequest
from chalicelib.store import batches as batch_store
from chalicelib.store import jobs as job_store
from chalicelib.store.audit import AuditRecord
from chalicelib.store.job_record import JobRecord
from chalicelib.store.logs import LogRecord
from chalicelib.store.runs import RunRecord
from tests.faults.conftest import POINTS
from tests.faults.crash import Rig, rigged, surviving
from tests.support.copies import a_job, copies
from tests.support.ministack import ministack_world
from tests.support.simulator import OPERATOR, PROBE, Stage, a_stage

MISSING = "no-such-job"
TARGET = 4_000
# The jobs that a batch of each action is given, as (status, number), and those of them that it acts on.
GIVEN: dict[Action, tuple[JobStatus, JobStatus]] = {
    Action.CANCEL: (JobStatus.WAITING, JobStatus.FAILED),
    Action.SET_PRIORITY: (JobStatus.RUNNING, JobStatus.FAILED),
    Action.RERUN: (JobStatus.FAILED, JobStatus.RUNNING),
    Action.DELETE: (JobStatus.FAILED, JobStatus.WAITING),
}


@pytest.fixture
def stage(ministack: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    # One thread and one shard: the same calls, in one order, and fewer of the idle ones.
    monkeypatch.setattr(batch_worker, "THREADS", 1)
    monkeypatch.setattr(idempotency, "LEASE", timedelta(0))
    for module in ("store.jobs", "maintenance.sweep"):
        monkeypatch.setattr(f"chalicelib.{module}.LEASE_SHARDS", 1)
    with ministack_world(ministack, monkeypatch) as world:
        yield a_stage(world, monkeypatch)
        client("sqs").meta.events.unregister("before-parameter-build.sqs.SendMessageBatch", unique_id="tests-delay")


@dataclass
class Play:
    """One batch or one action: its jobs, the request, and what must be true in the end."""

    stage: Stage
    pattern: JobRecord
    action: Action
    count: int
    at: int | None = None
    rig: Rig = field(default_factory=Rig)
    taken: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        self.rig = Rig(self.at)
        PROBE.runs.clear()
        self.stage.messages.clear()
        self.stage.world.forward(hours=1)
        taken, other = GIVEN[self.action]
        self.pattern.lease_until = self.stage.now + timedelta(days=1)
        self.pattern.created_at = self.stage.now
        self.taken = copies(self.stage, self.pattern, self.count, status=taken)
        self.others = copies(self.stage, self.pattern, 1, status=other)
        if self.action is Action.DELETE:
            for job_id in self.taken:
                leave_something(self.stage, job_id)

    def entries(self) -> Counter[tuple[str, str]]:
        mine = {*self.taken, *self.others}
        return Counter((each.action, each.record_id) for each in AuditRecord.scan() if each.record_id in mine)

    def check_effects(self) -> None:
        """Check that each job was acted on exactly once."""
        assert self.entries() == {(self.action.value, job_id): 1 for job_id in self.taken}
        found = {job_id: job_store.find(job_id) for job_id in (*self.taken, *self.others)}
        assert all(found[job_id].status == GIVEN[self.action][1] for job_id in self.others)
        mine = [found[job_id] for job_id in self.taken]
        if self.action is Action.DELETE:
            assert mine == [None] * self.count
            assert not [key for key in self.stage.world.objects() if key.split("/")[2] in self.taken]
            assert not [run for run in self.stage.runs() if run.job_id in self.taken]
            assert not [log for log in LogRecord.scan() if log.run.split("-")[0] in self.taken]
        elif self.action is Action.SET_PRIORITY:
            assert [job.priority for job in mine] == [TARGET] * self.count
        elif self.action is Action.CANCEL:
            assert [job.status for job in mine] == [JobStatus.CANCELED] * self.count
            assert sorted(job_id for job_id, _ in self.rig.endings) == sorted(self.taken)
        else:
            self.stage.deliver()
            assert sorted(PROBE.runs) == sorted(self.taken)

    def check_untouched(self) -> None:
        assert self.entries() == {}
        assert [job_store.get(job_id).status for job_id in self.taken] == [GIVEN[self.action][0]] * self.count

    def clean(self) -> None:
        for job_id in (*self.taken, *self.others):
            JobRecord(job_id).delete()
        for entry in AuditRecord.scan():
            entry.delete()


def leave_something(stage: Stage, job_id: str) -> None:
    """A run with a file and a log of two levels."""
    JobRecord(job_id).update([JobRecord.run_no.set(1), JobRecord.files.set([{"key": "x"}])])
    RunRecord(job_id, 1, status=RunStatus.FAILED, fence="f", created_at=stage.now).save()
    for area in ("files", "logs"):
        stage.world.client("s3").put_object(Bucket=stage.world.bucket, Key=f"{area}/probe/{job_id}/1/part", Body=b"x")
    for alerts in ("", "-alerts"):
        expires_at = stage.now + timedelta(days=1)
        LogRecord(f"{job_id}-1{alerts}", 1, packed=b"", line_count=1, expires_at=expires_at).save()


def a_play(stage: Stage, action: Action, count: int) -> Play:
    pattern = a_job(stage)
    JobRecord(pattern.job_id).delete()
    return Play(stage, pattern, action, count)


def every_death(play: Play, act: Callable[[Play], None]) -> int:
    """Play undisturbed, then once for each call with the process dying after it; and before the first.

    Dying before a call is dying after the one before.
    """
    play.prepare()
    act(play)
    play.clean()
    points = [1, *(number for number, name in enumerate(play.rig.moments, 1) if name.startswith("after"))]
    for point in points:
        play.at = point
        play.prepare()
        try:
            act(play)
        except AssertionError as error:
            raise AssertionError(f"crash {point}: {play.rig.moments[point - 1]}: {error}") from error
        play.clean()
    return len(points)


# --- batches ----------------------------------------------------------------------------------------------------------


def batch_of(play: Play) -> None:
    stage, begun = play.stage, play.stage.now
    ids = [play.taken[0], MISSING, *play.others, *play.taken[1:]]
    request = BatchRequest(play.action, job_ids=ids, priority=TARGET if play.action is Action.SET_PRIORITY else None)
    with rigged(play.rig):
        surviving(play.rig, lambda: batches.accept(request, actor=OPERATOR, now=begun, key=str(begun)))
        stage.collect()
        for _ in range(4):
            surviving(play.rig, lambda: deliver_steps(stage))
            if not watched(stage):
                break
            stage.world.forward(seconds=batches.LEASE.total_seconds() + 1)
            surviving(play.rig, stage.sweep)
    assert not watched(stage)
    check_batch(play, ids, begun)


def deliver_steps(stage: Stage) -> None:
    """Deliver the batch's messages alone: its jobs run when the batch has ended."""
    for message in [each for each in stage.messages if "batch" in each.body]:
        stage.messages.remove(message)
        stage.work(message.body)
    stage.collect()


def watched(stage: Stage) -> bool:
    return any(item["job_id"].startswith("batch.") for item in stage.world.items("jobs"))


def check_batch(play: Play, ids: list[str], begun: datetime) -> None:
    found = [batch for batch in batch_store.BatchRecord.scan() if batch.created_at == begun]
    if not found:
        play.check_untouched()
        return
    (batch,) = found
    assert batch.status == batch_store.BatchStatus.DONE
    assert batch_listing.counts(batch) == {
        "done": play.count,
        "refused": 1,
        "not_found": 1,
        "canceled": 0,
        "pending": 0,
    }
    rows = batch_listing.outcomes(batch, outcome=None, page=1, page_size=10).items
    expected = {MISSING: "not_found", **dict.fromkeys(play.others, "refused"), **dict.fromkeys(play.taken, "done")}
    assert {row["job_id"]: row["outcome"] for row in rows} == expected
    assert [row["job_id"] for row in rows] == ids
    assert sum(1 for each in AuditRecord.scan() if each.record_id == batch.batch_id) == 1
    play.check_effects()


@pytest.mark.parametrize("action", Action)
def test_a_batch_acts_on_each_job_once_at_whichever_call_the_process_dies(
    stage: Stage, action: Action, record_property: Callable[[str, object], None]
) -> None:
    record_property(
        f"{POINTS} of batches, {action}",
        every_death(a_play(stage, action, 1 if action is Action.DELETE else 2), batch_of),
    )


# --- one job ----------------------------------------------------------------------------------------------------------


def single(play: Play) -> None:
    """Repeat the request under the same key, as a client does whose answer was lost."""
    (job_id,) = play.taken

    def do(at: datetime, mark: str) -> Answer:
        if play.action is Action.CANCEL:
            actions.cancel(job_id, actor=OPERATOR, now=at, mark=mark)
        else:
            actions.rerun(job_id, actor=OPERATOR, now=at, mark=mark)
        return Answer(200)

    with rigged(play.rig):
        now, target = play.stage.now, f"POST {job_id}"
        ask = lambda: idempotency.once("k", actor=OPERATOR, target=target, payload={}, now=now, do=do)  # noqa: E731
        if not surviving(play.rig, ask):
            ask()
    sweep_and_check(play)


def delete(play: Play) -> None:
    """Do not repeat the request: `sweep` completes the deletion that was begun."""
    (job_id,) = play.taken
    with rigged(play.rig):
        surviving(play.rig, lambda: actions.delete(job_id, actor=OPERATOR, now=play.stage.now))
    job = job_store.find(job_id)
    begun = job is None or job.deleted_at is not None
    assert job is None or not begun or not job.files, "a job that is being deleted shows no files"
    play.stage.world.forward(seconds=61)
    play.stage.sweep()
    play.check_effects() if begun else play.check_untouched()


def sweep_and_check(play: Play) -> None:
    play.stage.collect()
    play.stage.world.forward(seconds=61)
    play.stage.sweep()
    play.check_effects()


@pytest.mark.parametrize(("action", "act"), [(Action.CANCEL, single), (Action.RERUN, single), (Action.DELETE, delete)])
def test_an_action_is_done_once_and_audited_once_at_whichever_call_the_process_dies(
    stage: Stage, action: Action, act: Callable[[Play], Any], record_property: Callable[[str, object], None]
) -> None:
    record_property(f"{POINTS} of actions, {action}", every_death(a_play(stage, action, 1), act))
