"""Cancel, re-run and priority of one job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus, Reason
from chalicelib.core.rank import rank
from chalicelib.errors import ConnectionDropped, QueryFailed, WrongState
from chalicelib.jobs import actions
from chalicelib.jobs import files as job_files
from chalicelib.jobs import listing as job_listing
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.store import job_updates
from chalicelib.store import jobs as job_store
from chalicelib.store.audit import AuditRecord
from chalicelib.store.job_list_plan import JobFilter
from chalicelib.store.job_record import JobRecord
from tests.support.probe import RETRY_SLOWER, raising, started
from tests.support.simulator import OPERATOR, PROBE, Stage


def test_cancel_of_a_waiting_job_ends_it_at_once(stage: Stage) -> None:
    job = started(stage)
    actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.reason, done.run_no) == (JobStatus.CANCELED, Reason.BY_USER, 0)
    assert done.cancel_requested_by == OPERATOR.name


def test_cancel_of_a_running_job_shows_requested_stopped_and_confirmed(stage: Stage) -> None:
    interrupted = []

    def behaviour(context: RunContext) -> Outcome:
        context.on_stop(lambda: interrupted.append(True))
        actions.cancel(context.facts.job_id, actor=OPERATOR, now=stage.now)
        stage.world.forward(seconds=1)
        context.check_for_stop()  # type: ignore[attr-defined]
        stage.world.forward(seconds=1)
        context.check()
        raise AssertionError("went on")

    PROBE.behaviour = behaviour
    job = started(stage, retry=RETRY_SLOWER)
    begin = stage.now
    stage.deliver()
    done = job_store.get(job.job_id)
    assert interrupted == [True]
    assert (done.status, done.reason) == (JobStatus.CANCELED, Reason.BY_USER)
    times = [done.cancel_requested_at, done.stopped_at, done.canceled_at]
    assert [(time - begin).total_seconds() for time in times] == [0, 2, 2]


def test_a_cancel_that_comes_while_a_run_fails_ends_the_job(stage: Stage) -> None:
    def fails(context: RunContext) -> Outcome:
        actions.cancel(context.facts.job_id, actor=OPERATOR, now=stage.now)
        raise ConnectionDropped

    PROBE.behaviour = fails
    job = started(stage, retry=RETRY_SLOWER)
    stage.minutes(3)
    assert job_store.get(job.job_id).status == JobStatus.CANCELED
    assert len(stage.runs()) == 1


def test_cancel_of_an_ended_job_is_refused_with_its_status(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    with pytest.raises(WrongState, match="succeeded"):
        actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)


def test_a_rerun_is_a_new_run_of_the_same_job_with_the_same_window(stage: Stage) -> None:
    job = started(stage, window={"type": "yesterday"})
    stage.deliver()
    before = job_store.get(job.job_id)
    stage.world.forward(days=3)
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    after = job_store.get(job.job_id)
    assert (after.status, after.run_no) == (JobStatus.SUCCEEDED, 2)
    assert (after.window_start, after.window_end) == (before.window_start, before.window_end)


def test_a_job_run_again_is_listed_by_the_person_who_asked_for_that(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()

    def found(**filters: str) -> list[str]:
        return [row.job_id for row in job_listing.listing(JobFilter(**filters), now=stage.now).items]

    assert found(trigger="rerun") == []
    actions.rerun(job.job_id, actor=replace(OPERATOR, name="rita"), now=stage.now)
    assert found(trigger="rerun") == found(operator="rita") == [job.job_id]
    assert found(trigger=job.trigger) == []
    stage.deliver()
    assert found(trigger="rerun", status=["succeeded"]) == [job.job_id]


def test_a_rerun_that_fails_leaves_the_good_file_of_the_run_before(stage: Stage) -> None:
    manifest = {
        "key": "k",
        "file_name": "f",
        "sha256": "s",
        "bytes": 1,
        "rows": 1,
        "started_at": "2026-03-02T09:00:00Z",
    }
    PROBE.behaviour = lambda _: Outcome(files=[manifest], rows=1)
    job = started(stage)
    stage.deliver()
    PROBE.behaviour = raising(QueryFailed("no such table"))
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    after = job_store.get(job.job_id)
    assert (after.status, after.error, after.files) == (JobStatus.FAILED, "no such table", [manifest])
    assert [link["name"] for link in job_files.links(job.job_id, now=stage.now)] == ["f"]


def test_a_priority_changed_during_a_run_holds_for_the_next_attempt(stage: Stage) -> None:
    def behaviour(context: RunContext) -> Outcome:
        actions.set_priority(job.job_id, 5000, actor=OPERATOR, now=stage.now)
        raise ConnectionDropped

    PROBE.behaviour = behaviour
    job = started(stage, retry=RETRY_SLOWER)
    stage.deliver()
    waiting = job_store.get(job.job_id)
    assert (waiting.status, waiting.priority) == (JobStatus.WAITING, 5000)
    assert waiting.rank == rank(waiting.enqueued_at, 5000)


def test_a_rerun_cancelled_while_waiting_keeps_the_times_of_the_run_that_succeeded(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    before = job_store.get(job.job_id)
    assert before.started_at is not None
    stage.world.forward(minutes=10)
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    stage.world.forward(minutes=10)
    actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)
    after = job_store.get(job.job_id)
    assert after.status == JobStatus.CANCELED
    assert (after.started_at, after.first_started_at) == (before.started_at, before.started_at)
    assert after.canceled_at == after.ended_at == stage.now
    assert after.files == before.files


def test_cancels_that_come_together_leave_one_entry_in_the_audit(stage: Stage) -> None:
    asked = []

    def behaviour(context: RunContext) -> Outcome:
        for name in ("first", "second", "third"):
            stage.world.forward(seconds=1)
            asked.append(actions.cancel(context.facts.job_id, actor=replace(OPERATOR, name=name), now=stage.now))
        return Outcome()

    PROBE.behaviour = behaviour
    job = started(stage)
    stage.deliver()
    assert [each.cancel_requested_by for each in asked] == ["first"] * 3
    assert cancels_in_audit(job.job_id) == ["first"]


def test_a_cancel_that_meets_another_between_its_read_and_its_write_leaves_no_entry(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = job_updates.request_cancel

    def overtaken(job: JobRecord, **named: Any) -> bool:
        monkeypatch.setattr(job_updates, "request_cancel", real)
        actions.cancel(job.job_id, actor=replace(OPERATOR, name="quicker"), now=stage.now)
        return real(job, **named)

    def behaviour(context: RunContext) -> Outcome:
        monkeypatch.setattr(job_updates, "request_cancel", overtaken)
        stage.world.forward(seconds=1)
        actions.cancel(context.facts.job_id, actor=OPERATOR, now=stage.now)
        return Outcome()

    PROBE.behaviour = behaviour
    job = started(stage)
    stage.deliver()
    assert cancels_in_audit(job.job_id) == ["quicker"]


def cancels_in_audit(job_id: str) -> list[str]:
    return [each.actor for each in AuditRecord.scan() if (each.action, each.record_id) == ("cancel", job_id)]
