"""Works batches off: what becomes of each job, once, within the time of a Lambda."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.aws import sqs
from chalicelib.clock import Clock
from chalicelib.core.lifecycle import ACTIVE, ENDED, JobStatus
from chalicelib.errors import Unavailable, WrongState
from chalicelib.jobs import actions, batch_listing, batch_worker, batches
from chalicelib.kinds.protocol import Outcome as Result
from chalicelib.kinds.protocol import RunContext
from chalicelib.queue import admission
from chalicelib.store import batches as store
from chalicelib.store import job_transitions, tasks
from chalicelib.store import jobs as job_store
from chalicelib.store.audit import AuditRecord
from chalicelib.store.batches import BatchStatus, Outcome, OutcomeRow
from chalicelib.store.job_list_plan import JobFilter
from chalicelib.store.job_record import JobRecord
from tests.support.batches import begin, entries, fails, outcomes_of, run, step, waiting, watches
from tests.support.copies import a_job, copies
from tests.support.dying import Died, dies
from tests.support.later_version import write_as_a_later_version
from tests.support.simulator import OPERATOR, PROBE, Stage


def test_cancel_accepts_open_jobs_and_says_of_the_others_what_they_are(
    stage: Stage, one_of_each: dict[JobStatus, str]
) -> None:
    batch = run(stage, "cancel", job_ids=list(one_of_each.values()))
    found = outcomes_of(batch)
    for status, job_id in one_of_each.items():
        if status == JobStatus.WAITING:
            assert found[job_id] == ("done", None, "canceled")
        elif status in ACTIVE:
            assert found[job_id] == ("done", "Its worker was asked to stop.", status)
            assert job_store.get(job_id).cancel_requested_by == "olga"
        else:
            assert found[job_id] == ("refused", f"Job {job_id} has ended: it is {status}.", status)
    assert (batch.status, batch_listing.counts(batch)) == (
        BatchStatus.DONE,
        {"done": 3, "refused": 7, "not_found": 0, "canceled": 0, "pending": 0},
    )


def test_rerun_accepts_ended_jobs_and_each_runs_once(stage: Stage, one_of_each: dict[JobStatus, str]) -> None:
    batch = run(stage, "rerun", job_ids=list(one_of_each.values()))
    found = outcomes_of(batch)
    for status, job_id in one_of_each.items():
        if status in ENDED:
            assert found[job_id] == ("done", None, "waiting")
        else:
            assert found[job_id] == (
                "refused",
                f"Job {job_id} is {status}; only an ended job can be run again.",
                status,
            )
    stage.deliver()
    assert sorted(PROBE.runs) == sorted(one_of_each[status] for status in ENDED)


def test_set_priority_accepts_open_jobs(stage: Stage, one_of_each: dict[JobStatus, str]) -> None:
    found = outcomes_of(run(stage, "set_priority", priority=4_000, job_ids=list(one_of_each.values())))
    for status, job_id in one_of_each.items():
        taken = status not in ENDED
        assert found[job_id][0] == ("done" if taken else "refused")
        assert (job_store.get(job_id).priority == 4_000) == taken


def test_delete_accepts_ended_jobs(stage: Stage, one_of_each: dict[JobStatus, str]) -> None:
    batch = run(stage, "delete", job_ids=list(one_of_each.values()))
    found = outcomes_of(batch)
    for status, job_id in one_of_each.items():
        if status in ENDED:
            assert found[job_id] == ("done", None, None)
        else:
            assert found[job_id] == ("refused", f"Job {job_id} is {status}; only an ended job can be deleted.", status)
        assert (job_store.find(job_id) is None) == (status in ENDED)


def test_an_unknown_job_has_an_outcome_and_the_rest_are_done(stage: Stage) -> None:
    job = a_job(stage)
    batch = run(stage, "cancel", job_ids=["none", job.job_id, "unknown", job.job_id])
    assert outcomes_of(batch) == {
        "none": ("not_found", "There is no such job.", None),
        job.job_id: ("done", None, "canceled"),
        "unknown": ("not_found", "There is no such job.", None),
    }
    assert batch.total == 3, "an id that comes twice counts once"


def test_a_job_that_came_to_another_end_meanwhile_is_not_deleted(stage: Stage) -> None:
    PROBE.behaviour = fails
    job = a_job(stage)
    stage.deliver()
    failed = JobFilter(status=[JobStatus.FAILED])
    batch = begin(stage, "delete", filter=failed, filter_document={"status": ["failed"]})
    PROBE.behaviour = lambda context: Result(rows=1)
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    stage.collect()
    token = next(message for message in stage.messages if job.job_id in message.body)
    stage.work(token.body)
    step(stage, batch)
    assert outcomes_of(store.get(batch.batch_id)) == {
        job.job_id: ("refused", "The job is succeeded now, not as the filter says.", "succeeded")
    }
    assert job_store.get(job.job_id).rows == 1


def test_a_task_shows_the_status_that_a_batch_gave_its_latest_job(stage: Stage) -> None:
    job = a_job(stage)
    copies(stage, job, 5)
    run(stage, "cancel", **waiting())
    found = tasks.get(job.task_id)
    assert (found.latest_job_id, found.latest_status) == (job.job_id, JobStatus.CANCELED)


def test_a_buffered_job_is_woken_when_a_batch_ends_the_one_before(stage: Stage) -> None:
    stage.task(overlap="buffer_all", schedule={"type": "interval", "every": 1, "unit": "minute"})
    PROBE.behaviour = fails
    for _ in range(3):
        stage.world.forward(seconds=60)
        stage.tick()
        for message in list(stage.messages):
            job = job_store.get(sqs.parse(message.body).job_id)  # type: ignore[union-attr]
            if message.due <= stage.now and job.scheduled_for <= stage.now:
                admission.admit(job, now=stage.now)
    held = [job for job in stage.jobs() if job.buffered]
    assert held, "the test needs one"
    stage.messages.clear()
    first = next(job for job in stage.jobs() if not job.buffered and job.status == JobStatus.WAITING)
    run(stage, "cancel", job_ids=[first.job_id])
    assert [sqs.parse(message.body) for message in stage.messages if held[0].job_id in message.body]


def test_a_result_that_comes_after_its_job_was_deleted_leaves_nothing(stage: Stage) -> None:
    job = a_job(stage)

    def slow(context: RunContext) -> Result:
        stage.world.forward(seconds=1_000)
        stage.sweep()
        assert job_store.get(job.job_id).status == JobStatus.FAILED, "its worker was taken for lost"
        run(stage, "delete", job_ids=[job.job_id])
        key = f"files/probe/{job.job_id}/1/late.csv"
        stage.world.client("s3").put_object(Bucket=stage.world.bucket, Key=key, Body=b"x")
        context.log("INFO", "Done at last.")
        return Result(rows=1)

    PROBE.behaviour = slow
    stage.deliver(limit=1)
    assert (stage.jobs(), stage.runs(), stage.world.objects(), stage.world.items("logs")) == ([], [], {}, [])


def test_each_change_is_in_the_audit_with_its_batch(stage: Stage) -> None:
    first, second = a_job(stage), a_job(stage)
    ids = [first.job_id, second.job_id]
    cancelled = run(stage, "cancel", job_ids=ids)
    deleted = run(stage, "delete", job_ids=ids)
    assert entries("job") == {("cancel", job_id): 1 for job_id in ids} | {("delete", job_id): 1 for job_id in ids}
    found = {(each.action, each.record_id): each.changes for each in AuditRecord.scan()}
    assert found["cancel", ids[0]]["status"] == ["waiting", "canceled"]
    assert found["cancel", ids[0]]["batch"] == [None, cancelled.batch_id]
    assert found["delete", ids[0]]["batch"] == [None, deleted.batch_id]
    assert found["delete", ids[0]]["task_name"] == [first.task_name, None]
    assert found["create", deleted.batch_id]["jobs"] == [None, 2]


# --- once -------------------------------------------------------------------------------------------------------------


def test_a_message_that_comes_twice_changes_nothing(stage: Stage) -> None:
    job = a_job(stage)
    batch = run(stage, "cancel", job_ids=[job.job_id])
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    step(stage, batch)
    assert job_store.get(job.job_id).status == JobStatus.WAITING
    assert outcomes_of(store.get(batch.batch_id)) == outcomes_of(batch)


def test_a_step_leaves_a_batch_that_another_worker_holds_alone(stage: Stage) -> None:
    job = a_job(stage)
    batch = begin(stage, "cancel", job_ids=[job.job_id])
    assert store.acquire(store.get(batch.batch_id), holder="other", now=stage.now, until=stage.now + batches.LEASE)
    step(stage, batch)
    assert job_store.get(job.job_id).status == JobStatus.WAITING
    stage.world.now += batches.LEASE
    step(stage, batch)
    assert job_store.get(job.job_id).status == JobStatus.CANCELED


def test_a_worker_that_lost_the_batch_writes_no_more(stage: Stage) -> None:
    batch = begin(stage, "cancel", job_ids=["a", "b"])
    slow, quick = store.get(batch.batch_id), store.get(batch.batch_id)
    assert store.acquire(slow, holder="slow", now=stage.now, until=stage.now + batches.LEASE)
    later = stage.now + batches.LEASE
    assert store.acquire(quick, holder="quick", now=later, until=later + batches.LEASE)
    assert not store.note_closed(slow, {"done": 2}, until=later)
    assert not store.end(slow, BatchStatus.DONE, {"done": 2}, now=later)
    assert not store.release(slow)


def test_outcomes_are_written_once(stage: Stage) -> None:
    batch = begin(stage, "cancel", job_ids=["a"])
    part = store.find(batch.batch_id, 1)
    assert part is not None
    assert store.close_part(part, [OutcomeRow(Outcome.DONE, None, "canceled")])
    assert not store.close_part(part, [OutcomeRow(Outcome.REFUSED, "x", "failed")])
    assert store.find(batch.batch_id, 1).outcomes == [["done", None, "canceled"]]  # type: ignore[union-attr]


def test_a_job_that_a_person_reran_is_not_cancelled_by_a_repeat(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first worker dies before it writes the outcomes; a person re-runs the job before the repeat."""
    job = a_job(stage)
    batch = begin(stage, "cancel", job_ids=[job.job_id])
    with monkeypatch.context() as patch:
        patch.setattr(store, "close_part", dies)
        with pytest.raises(Died):
            step(stage, batch)
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    stage.world.now += batches.LEASE
    step(stage, batch)
    assert job_store.get(job.job_id).status == JobStatus.WAITING
    assert outcomes_of(store.get(batch.batch_id))[job.job_id][0] == "done"


# --- when the time is up, or the batch is cancelled -------------------------------------------------------------------


@pytest.mark.usefixtures("_small_parts")
def test_a_step_hands_over_when_its_time_is_nearly_up(stage: Stage) -> None:
    job = a_job(stage)
    ids = copies(stage, job, 30)
    batch = begin(stage, "cancel", job_ids=ids)
    stage.messages.clear()
    # A part takes twenty seconds of this clock.
    clock = Clock(now=lambda: stage.now + timedelta(seconds=10 * int(store.get(batch.batch_id).closed) * 2))
    until = stage.now + batch_worker.RESERVE + timedelta(seconds=30)
    batch_worker.step(batch.batch_id, holder="first", until=until, clock=clock)
    stage.collect()
    left = store.get(batch.batch_id)
    assert (left.closed, left.status, left.held_until) == (2, BatchStatus.RUNNING, None)
    assert [message.body for message in stage.messages] == [f'{{"batch":"{batch.batch_id}"}}']
    assert Counter(outcome for outcome, *_ in outcomes_of(left).values()) == {"done": 20, "pending": 10}
    stage.deliver()
    assert store.get(batch.batch_id).status == BatchStatus.DONE
    assert watches(stage) == []


@pytest.mark.usefixtures("_small_parts")
def test_a_cancelled_batch_leaves_the_rest_alone(stage: Stage) -> None:
    job = a_job(stage)
    ids = copies(stage, job, 24)
    batch = begin(stage, "cancel", job_ids=ids)
    until = stage.now + batch_worker.RESERVE + timedelta(seconds=1)
    clock = Clock(now=lambda: stage.now + timedelta(seconds=2 * int(store.get(batch.batch_id).closed)))
    batch_worker.step(batch.batch_id, holder="first", until=until, clock=clock)
    canceled = batches.cancel(batch.batch_id, actor=OPERATOR, now=stage.now)
    assert (canceled.status, canceled.cancel_requested_by) == (BatchStatus.RUNNING, "olga")
    step(stage, batch)
    done = store.get(batch.batch_id)
    assert (done.status, batch_listing.counts(done)) == (
        BatchStatus.CANCELED,
        {"done": 10, "refused": 0, "not_found": 0, "canceled": 14, "pending": 0},
    )
    found = outcomes_of(done)
    assert [found[job_id][0] for job_id in ids] == ["done"] * 10 + ["canceled"] * 14
    statuses = Counter(job_store.statuses_of(ids).values())
    assert statuses == {JobStatus.CANCELED: 10, JobStatus.WAITING: 14}
    only = batch_listing.outcomes(done, outcome="canceled", page=2, page_size=10)
    assert (only.total, len(only.items)) == (14, 4)
    with pytest.raises(WrongState, match="has ended: it is canceled"):
        batches.cancel(batch.batch_id, actor=OPERATOR, now=stage.now)


def test_the_outcome_of_a_job_acted_on_before_the_cancel_is_done(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker died in the middle of a part, and the batch was cancelled before another came."""
    job = a_job(stage)
    first, second = copies(stage, job, 2)
    batch = begin(stage, "cancel", job_ids=[first, second])
    real = job_transitions.end_without_run

    def end_without_run(job: JobRecord, *args: Any, **named: Any) -> bool:
        if job.job_id == second:
            raise Died
        return real(job, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(job_transitions, "end_without_run", end_without_run)
        with pytest.raises(Died):
            step(stage, batch)
    batches.cancel(batch.batch_id, actor=OPERATOR, now=stage.now)
    stage.world.now += batches.LEASE
    step(stage, batch)
    done = store.get(batch.batch_id)
    assert {job_id: row[0] for job_id, row in outcomes_of(done).items()} == {first: "done", second: "canceled"}
    assert job_store.get(second).status == JobStatus.WAITING


def test_a_job_that_a_service_keeps_failing_does_not_stop_the_batch(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    PROBE.behaviour = fails
    jobs = [a_job(stage), a_job(stage)]
    stage.deliver()
    bad = jobs[0].job_id
    real = actions.deletion.complete

    def complete(job: JobRecord, **named: Any) -> None:
        if job.job_id == bad:
            raise Unavailable("S3 says no.")
        real(job, **named)

    monkeypatch.setattr(actions.deletion, "complete", complete)
    batch = begin(stage, "delete", job_ids=[job.job_id for job in jobs])
    for _ in range(batch_worker.TRIES - 1):
        with pytest.raises(Unavailable, match=bad):
            step(stage, batch)
        stage.world.now += batches.LEASE
    step(stage, batch)
    found = outcomes_of(store.get(batch.batch_id))
    assert found[bad][:2] == ("refused", "It could not be finished; the log says why.")
    assert found[jobs[1].job_id] == ("done", None, None)


def test_a_job_that_this_version_cannot_read_is_refused_and_keeps_no_other(stage: Stage) -> None:
    for _ in range(5):
        stage.task(schedule={"type": "now"})
    ids = [job.job_id for job in stage.jobs()]
    unreadable = write_as_a_later_version(ids[2])
    batch = run(stage, "cancel", job_ids=ids)
    assert batch.status == BatchStatus.DONE
    expected = dict.fromkeys(ids, ("done", None, "canceled"))
    assert outcomes_of(batch) == expected | {unreadable: ("refused", "Its record cannot be read.", None)}
