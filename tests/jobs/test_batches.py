from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from chalicelib import retention
from chalicelib.aws import sqs
from chalicelib.clock import Clock
from chalicelib.core.lifecycle import ACTIVE, ENDED, JobStatus, Reason
from chalicelib.errors import ConnectionDropped, Invalid, Unavailable, WrongState
from chalicelib.jobs import actions, batch_listing, batch_worker, batches
from chalicelib.jobs import listing as job_listing
from chalicelib.jobs.actions import Action
from chalicelib.jobs.batches import MOST_JOBS, BatchRequest
from chalicelib.kinds.protocol import Outcome as Result
from chalicelib.kinds.protocol import RunContext
from chalicelib.queue import admission
from chalicelib.store import batches as store
from chalicelib.store import job_transitions, tasks
from chalicelib.store import jobs as job_store
from chalicelib.store.audit import AuditRecord
from chalicelib.store.base import client
from chalicelib.store.batches import BatchRecord, BatchStatus, Outcome, OutcomeRow
from chalicelib.store.job_list_plan import JobFilter
from chalicelib.store.job_record import JobRecord
from tests.support.copies import a_job, copies
from tests.support.emulated import emulated_world, ministack  # noqa: F401
from tests.support.simulator import OPERATOR, PROBE, Stage, a_stage

ALL: dict[str, Any] = {"filter": JobFilter(), "filter_document": {"created": "all"}}
STATUSES = list(JobStatus)


def waiting() -> dict[str, Any]:
    return {"filter": JobFilter(status=[JobStatus.WAITING]), "filter_document": {"status": ["waiting"]}}


def begin(stage: Stage, action: Action | str, *, key: str | None = None, **wish: Any) -> BatchRecord:
    batch = batches.accept(BatchRequest(Action(action), **wish), actor=OPERATOR, now=stage.now, key=key)
    stage.collect()
    return batch


def run(stage: Stage, action: Action | str, **wish: Any) -> BatchRecord:
    """A batch from its beginning to its end, and none of the jobs it acts on."""
    batch = begin(stage, action, **wish)
    step(stage, batch)
    return store.get(batch.batch_id)


def step(stage: Stage, batch: BatchRecord, *, seconds: float = 900) -> None:
    until = stage.now + timedelta(seconds=seconds)
    batch_worker.step(batch.batch_id, holder="worker-1", until=until, clock=stage.clock)
    stage.collect()


def told(batch: BatchRecord) -> dict[str, tuple[Any, ...]]:
    """Outcome, message and status of each job."""
    found, size = {}, min(100, store.PART_JOBS)
    for page in range(1, int(batch.total) // size + 2):
        for row in batch_listing.outcomes(batch, outcome=None, page=page, page_size=size).items:
            found[row["job_id"]] = (row["outcome"], row["message"], row["status"])
    return found


def watches(stage: Stage) -> list[str]:
    return [item["job_id"] for item in stage.world.items("jobs") if item["job_id"].startswith("batch.")]


def entries(record_type: str) -> Counter[tuple[str, str]]:
    return Counter((each.action, each.record_id) for each in AuditRecord.scan() if each.record_type == record_type)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """The calls to DynamoDB, by operation."""
    found: Counter[str] = Counter()

    def note(model: Any, **_: Any) -> None:
        found[model.name] += 1

    client().meta.events.register("before-call", note, unique_id="tests-count")
    yield found
    client().meta.events.unregister("before-call", unique_id="tests-count")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto's tables may not be read while another thread puts into them."""
    monkeypatch.setattr(batch_worker, "THREADS", 1)


@pytest.fixture
def one_of_each(stage: Stage) -> dict[JobStatus, str]:
    """A job of every status."""
    job = a_job(stage)
    reasons = {JobStatus.CANCELED: Reason.BY_USER, JobStatus.FAILED: Reason.ERROR}
    made = {status: copies(stage, job, 1, status=status, reason=reasons.get(status))[0] for status in STATUSES}
    stage.messages.clear()
    JobRecord(job.job_id).delete()
    return made


# --- what becomes of each ---------------------------------------------------------------------------------------------


def test_cancel_takes_open_jobs_and_says_of_the_others_what_they_are(
    stage: Stage, one_of_each: dict[JobStatus, str]
) -> None:
    batch = run(stage, "cancel", job_ids=list(one_of_each.values()))
    found = told(batch)
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


def test_rerun_takes_ended_jobs_and_each_runs_once(stage: Stage, one_of_each: dict[JobStatus, str]) -> None:
    batch = run(stage, "rerun", job_ids=list(one_of_each.values()))
    found = told(batch)
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


def test_set_priority_takes_open_jobs(stage: Stage, one_of_each: dict[JobStatus, str]) -> None:
    found = told(run(stage, "set_priority", priority=4_000, job_ids=list(one_of_each.values())))
    for status, job_id in one_of_each.items():
        taken = status not in ENDED
        assert found[job_id][0] == ("done" if taken else "refused")
        assert (job_store.get(job_id).priority == 4_000) == taken


def test_delete_takes_ended_jobs(stage: Stage, one_of_each: dict[JobStatus, str]) -> None:
    batch = run(stage, "delete", job_ids=list(one_of_each.values()))
    found = told(batch)
    for status, job_id in one_of_each.items():
        if status in ENDED:
            assert found[job_id] == ("done", None, None)
        else:
            assert found[job_id] == ("refused", f"Job {job_id} is {status}; only an ended job can be deleted.", status)
        assert (job_store.find(job_id) is None) == (status in ENDED)


def test_a_job_that_is_not_there_has_an_outcome_and_the_rest_are_done(stage: Stage) -> None:
    job = a_job(stage)
    batch = run(stage, "cancel", job_ids=["none", job.job_id, "nobody", job.job_id])
    assert told(batch) == {
        "none": ("not_found", "There is no such job.", None),
        job.job_id: ("done", None, "canceled"),
        "nobody": ("not_found", "There is no such job.", None),
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
    assert told(store.get(batch.batch_id)) == {
        job.job_id: ("refused", "The job is succeeded now, not as the filter says.", "succeeded")
    }
    assert job_store.get(job.job_id).rows == 1


def fails(context: RunContext) -> Result:
    raise ConnectionDropped("The connection broke.")


def test_the_latest_status_of_a_task_follows(stage: Stage) -> None:
    job = a_job(stage)
    copies(stage, job, 5)
    run(stage, "cancel", **waiting())
    found = tasks.get(job.task_id)
    assert (found.latest_job_id, found.latest_status) == (job.job_id, JobStatus.CANCELED)


def test_a_job_that_was_held_back_is_let_in_when_a_batch_ends_the_one_before(stage: Stage) -> None:
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


# --- before it begins -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "taken", "refused"),
    [("cancel", 3, 7), ("set_priority", 3, 7), ("rerun", 7, 3), ("delete", 7, 3)],
)
def test_a_preview_counts_and_changes_nothing(
    stage: Stage, one_of_each: dict[JobStatus, str], action: str, taken: int, refused: int
) -> None:
    tables = ("jobs", "batches", "audit")
    before = {table: stage.world.items(table) for table in tables}
    priority = 1 if action == "set_priority" else None
    wish = BatchRequest(Action(action), job_ids=["none", *one_of_each.values()], priority=priority)
    found = batches.preview(wish, now=stage.now)
    assert (found["matched"], found["taken"], found["not_found"]) == (11, taken, 1)
    assert found["statuses"] == dict.fromkeys(sorted(STATUSES), 1)
    assert sum(each["count"] for each in found["refused"]) == refused
    assert {table: stage.world.items(table) for table in tables} == before
    assert stage.world.messages() == []


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"action": "cancel"}, "job_ids"),
        ({"action": "cancel", "job_ids": ["a"], **ALL}, "job_ids"),
        ({"action": "cancel", "filter": JobFilter(), "filter_document": {}}, "filter"),  # would be every job
        ({"action": "set_priority", "job_ids": ["a"]}, "priority"),
        ({"action": "cancel", "job_ids": ["a"], "priority": 1}, "priority"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_by_name(stage: Stage, wish: dict[str, Any], field: str) -> None:
    for ask in (batches.preview, lambda wish, now: batches.accept(wish, actor=OPERATOR, now=now)):
        with pytest.raises(Invalid) as refused:
            ask(
                BatchRequest(Action(wish["action"]), **{name: wish[name] for name in wish if name != "action"}),
                now=stage.now,
            )
        assert refused.value.field == field


def test_a_filter_that_matches_too_many_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def many(wanted: JobFilter, *, limit: int, **_: Any) -> list[str]:
        asked.append(limit)
        return [str(number) for number in range(limit)]

    monkeypatch.setattr(job_listing, "ids", many)
    with pytest.raises(Invalid, match="More than 10,000 jobs match") as refused:
        begin(stage, "cancel", **waiting())
    assert (refused.value.field, asked) == ("filter", [MOST_JOBS + 1])
    assert stage.world.items("batches") == []


def test_a_filter_that_matches_nothing_gives_a_batch_that_is_done(stage: Stage) -> None:
    batch = begin(stage, "cancel", **waiting())
    assert (batch.status, batch.total, batch.ended_at) == (BatchStatus.DONE, 0, stage.now)
    assert stage.messages == []
    assert watches(stage) == []
    assert batch_listing.outcomes(batch, outcome=None, page=1, page_size=10).items == []


@pytest.mark.usefixtures("_small_parts")
def test_a_filter_means_the_jobs_that_the_list_shows(stage: Stage) -> None:
    mine, other = a_job(stage), a_job(stage)
    ids = [mine.job_id, *copies(stage, mine, 25)]
    batch = begin(stage, "cancel", filter=JobFilter(task_id=mine.task_id), filter_document={"task_id": mine.task_id})
    copies(stage, mine, 3, status=JobStatus.FAILED)
    step(stage, batch)
    assert sorted(told(store.get(batch.batch_id))) == sorted(ids)
    assert job_store.get(other.job_id).status == JobStatus.WAITING


# --- once -------------------------------------------------------------------------------------------------------------


def test_the_same_key_gives_the_same_batch(stage: Stage) -> None:
    job = a_job(stage)
    first, second = (begin(stage, "cancel", key="k", job_ids=[job.job_id]) for _ in range(2))
    other = begin(stage, "cancel", key="k-2", job_ids=[job.job_id])
    assert first.batch_id == second.batch_id != other.batch_id
    assert entries("batch") == {("create", first.batch_id): 1, ("create", other.batch_id): 1}


def test_a_message_that_comes_twice_changes_nothing(stage: Stage) -> None:
    job = a_job(stage)
    batch = run(stage, "cancel", job_ids=[job.job_id])
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    step(stage, batch)
    assert job_store.get(job.job_id).status == JobStatus.WAITING
    assert told(store.get(batch.batch_id)) == told(batch)


def test_a_step_leaves_a_batch_alone_that_another_worker_holds(stage: Stage) -> None:
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


def test_a_job_run_again_by_somebody_else_is_not_cancelled_by_a_repeat(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker dies with the outcomes in its hands; before the repeat somebody runs the job again."""
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
    assert told(store.get(batch.batch_id))[job.job_id][0] == "done"


class Died(BaseException):
    """The process is gone."""


def dies(*args: Any, **named: Any) -> None:
    raise Died


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


# --- time, and its end ------------------------------------------------------------------------------------------------


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART_JOBS", 10)


@pytest.mark.usefixtures("_small_parts")
def test_a_step_hands_on_when_its_time_is_nearly_up(stage: Stage) -> None:
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
    assert Counter(outcome for outcome, *_ in told(left).values()) == {"done": 20, "pending": 10}
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
    asked = batches.cancel(batch.batch_id, actor=OPERATOR, now=stage.now)
    assert (asked.status, asked.cancel_requested_by) == (BatchStatus.RUNNING, "olga")
    step(stage, batch)
    done = store.get(batch.batch_id)
    assert (done.status, batch_listing.counts(done)) == (
        BatchStatus.CANCELED,
        {"done": 10, "refused": 0, "not_found": 0, "canceled": 14, "pending": 0},
    )
    found = told(done)
    assert [found[job_id][0] for job_id in ids] == ["done"] * 10 + ["canceled"] * 14
    statuses = Counter(job_store.statuses_of(ids).values())
    assert statuses == {JobStatus.CANCELED: 10, JobStatus.WAITING: 14}
    only = batch_listing.outcomes(done, outcome="canceled", page=2, page_size=10)
    assert (only.total, len(only.items)) == (14, 4)
    with pytest.raises(WrongState, match="has ended: it is canceled"):
        batches.cancel(batch.batch_id, actor=OPERATOR, now=stage.now)


def test_a_job_acted_on_before_the_cancel_is_told_as_done(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker died in the middle of a part, and the batch was cancelled before another came."""
    job = a_job(stage)
    first, second = copies(stage, job, 2)
    batch = begin(stage, "cancel", job_ids=[first, second])
    real = job_transitions.end_without_run

    def drop(job: JobRecord, *args: Any, **named: Any) -> bool:
        if job.job_id == second:
            raise Died
        return real(job, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(job_transitions, "end_without_run", drop)
        with pytest.raises(Died):
            step(stage, batch)
    batches.cancel(batch.batch_id, actor=OPERATOR, now=stage.now)
    stage.world.now += batches.LEASE
    step(stage, batch)
    done = store.get(batch.batch_id)
    assert {job_id: row[0] for job_id, row in told(done).items()} == {first: "done", second: "canceled"}
    assert job_store.get(second).status == JobStatus.WAITING


def test_a_job_that_a_service_keeps_failing_does_not_keep_the_batch(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    PROBE.behaviour = fails
    jobs = [a_job(stage), a_job(stage)]
    stage.deliver()
    bad = jobs[0].job_id
    real = actions.deletion.complete

    def finish(job: JobRecord, **named: Any) -> None:
        if job.job_id == bad:
            raise Unavailable("S3 says no.")
        real(job, **named)

    monkeypatch.setattr(actions.deletion, "complete", finish)
    batch = begin(stage, "delete", job_ids=[job.job_id for job in jobs])
    for _ in range(batch_worker.TRIES - 1):
        with pytest.raises(Unavailable, match=bad):
            step(stage, batch)
        stage.world.now += batches.LEASE
    step(stage, batch)
    found = told(store.get(batch.batch_id))
    assert found[bad][:2] == ("refused", "It could not be finished; the log says why.")
    assert found[jobs[1].job_id] == ("done", None, None)


def test_a_batch_expires_with_what_the_stage_keeps_longest(stage: Stage) -> None:
    run(stage, "cancel", job_ids=["a"])
    (expiry,) = {each.expires_at for each in BatchRecord.scan()}
    assert expiry == stage.now + timedelta(days=retention.longest_days())


def test_batches_are_listed_newest_first_over_the_months(stage: Stage) -> None:
    made = []
    for _ in range(12):
        made.insert(0, begin(stage, "cancel", job_ids=["a"]).batch_id)
        stage.world.forward(days=10)
    pages = [batch_listing.listing(page=page, page_size=10, now=stage.now) for page in (1, 2, 3)]
    assert [batch.batch_id for page in pages for batch in page.items] == made
    assert [page.total for page in pages] == [12, 12, 12]


# --- thousands --------------------------------------------------------------------------------------------------------


@pytest.fixture
def emulated(ministack: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:  # noqa: F811
    """A stage on the emulator, which writes several times as fast as moto, and from several threads."""
    monkeypatch.setattr(batch_worker, "THREADS", 8)
    with emulated_world(ministack, monkeypatch) as world:
        yield a_stage(world, monkeypatch)
        sqs.client("sqs").meta.events.unregister("before-parameter-build.sqs.SendMessageBatch", unique_id="tests-delay")


def test_three_thousand_waiting_jobs_are_cancelled_once_each_though_the_worker_dies(
    emulated: Stage, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    """By filter; the Lambda is killed in the middle of a part, and nobody but the sweep takes notice."""
    stage = emulated
    job = a_job(stage)
    ids = [job.job_id, *copies(stage, job, 2_999)]
    ended: Counter[str] = Counter()
    lives = [1_234]
    real = job_transitions.end_without_run

    def drop(job: JobRecord, *args: Any, **named: Any) -> bool:
        if lives and sum(ended.values()) >= lives[0]:
            raise Died
        done = real(job, *args, **named)
        ended[job.job_id] += done
        return done

    monkeypatch.setattr(job_transitions, "end_without_run", drop)
    batch = begin(stage, "cancel", **waiting())
    assert batch.total == 3_000
    message = next(each for each in stage.messages if "batch" in each.body)
    stage.messages.clear()
    with pytest.raises(Died):
        stage.work(message.body)
    half = store.get(batch.batch_id)
    assert (half.status, half.closed) == (BatchStatus.RUNNING, 12)
    assert sum(ended.values()) >= 1_234
    lives.clear()
    # The queue's own message is lost with the worker. Whoever looks after the jobs looks after the batch.
    monkeypatch.setattr("chalicelib.maintenance.sweep._waiting", lambda *args, **named: None)
    stage.world.now += batches.LEASE + timedelta(seconds=1)
    stage.sweep()
    (again,) = stage.messages
    stage.messages.clear()
    closed = int(half.closed) * store.PART_JOBS
    with counted() as calls:
        stage.work(again.body)
    done = store.get(batch.batch_id)
    assert (done.status, batch_listing.counts(done)["done"]) == (BatchStatus.DONE, 3_000)
    assert set(told(done)) == set(ids)
    assert ended == Counter(ids), "every job is ended once"
    assert entries("job") == {("cancel", job_id): 1 for job_id in ids}
    assert watches(stage) == []
    each = sum(calls.values()) / (3_000 - closed)
    record_property("calls to DynamoDB for each job of a batch cancel", round(each, 2))
    assert each <= 3
