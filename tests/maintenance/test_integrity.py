"""Every invariant of the record, broken by hand in the table, is found, repaired by the sweep and logged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.clock import Clock
from chalicelib.core.ids import month_bucket, ulid
from chalicelib.core.invariants.table import INVARIANTS, broken
from chalicelib.core.lifecycle import JobStatus, Reason, RunStatus, Trigger
from chalicelib.errors import FiringIncomplete
from chalicelib.jobs import actions
from chalicelib.maintenance import integrity, sweep
from chalicelib.queue import claim
from chalicelib.settings import settings
from chalicelib.store import job_repairs, runs, watches
from chalicelib.store import jobs as job_store
from chalicelib.store.job_record import LEASE_SHARDS, JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.store.watches import Watched
from chalicelib.tasks import editing as task_editing
from chalicelib.worker.worker import handle
from tests.model.aws import Aws
from tests.model.playing import playing
from tests.model.processes import Process
from tests.support.simulator import OPERATOR, WORK_TIME
from tests.support.world import START


@pytest.fixture
def aws() -> Iterator[Aws]:
    with playing(quietly=False) as made:
        # So that the next sweep is one that begins the integrity check, but not by the minute's own chance.
        made.now = made.now.replace(minute=integrity.MINUTE) - timedelta(seconds=30)
        yield made


# --- sound jobs of each state -----------------------------------------------------------------------------------------


def waiting(aws: Aws, **changes: Any) -> str:
    body = {"name": "x", "kind": "probe", "schedule": {"type": "now"}, **changes}
    task = task_editing.create(body, actor=OPERATOR, now=aws.now)
    return str(JobRecord.active.query(task.task_id).next().job_id)


def deliver(aws: Aws, does: str) -> None:
    message = aws.queue.messages.pop()
    worker = claim.Worker("w", aws.now + WORK_TIME, Clock(now=lambda: aws.now), watched=False)
    Process(lambda: handle(message.body, worker=worker), does).go()


def ended(does: str) -> Callable[[Aws], str]:
    def make(aws: Aws) -> str:
        job_id = waiting(aws)
        deliver(aws, does)
        return job_id

    return make


def between_attempts(aws: Aws) -> str:
    job_id = waiting(aws, retry={"max_attempts": 3, "delay_seconds": 600})
    deliver(aws, "drop the connection")
    return job_id


def canceled(aws: Aws) -> str:
    job_id = waiting(aws)
    actions.cancel(job_id, actor=OPERATOR, now=aws.now)
    return job_id


def run_again(aws: Aws) -> str:
    job_id = ended("leave a file")(aws)
    actions.rerun(job_id, actor=OPERATOR, now=aws.now)
    deliver(aws, "drop the connection")
    return job_id


STATES: dict[str, Callable[[Aws], str]] = {
    "waiting": waiting,
    "running": ended("die"),
    "between attempts": between_attempts,
    "succeeded": ended("leave a file"),
    "failed": ended("meet a bug"),
    "canceled": canceled,
    "failed after a success": run_again,
}


# --- breaking it ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Break:
    """What is written into the table behind everybody's back."""

    state: str
    job: dict[str, Any] | None = None
    # Of its first run; an empty mapping removes the run.
    run: dict[str, Any] | None = None
    # What the job says in the end; where nothing can be known the sweep raises the alarm.
    after: dict[str, Any] | None = None


LATER = timedelta(days=400)
WRONG: dict[str, Break] = {
    "job_id_matches_slot": Break("succeeded", {"scheduled_for": START}),
    "month_matches_job_id": Break("waiting", {"month": "1999-01"}, after={"month": "2026-03"}),
    "window_has_both_ends": Break("waiting", {"window_start": START}),
    "search_name_matches_task_name": Break("failed", {"search_name": "another"}, after={"search_name": "x"}),
    "priority_in_range": Break("waiting", {"priority": 7000}, after={"priority": 5000}),
    "rank_matches_priority": Break("waiting", {"rank": 5}),
    "open_job_has_no_end": Break("waiting", {"expires_at": START}, after={"expires_at": None}),
    "open_job_has_lease": Break("waiting", {"lease_shard": None, "lease_until": None}),
    "lease_is_bounded": Break("running", {"lease_until": START + LATER}),
    "open_job_is_in_task_index": Break("running", {"active_task": None}),
    "ended_job_holds_nothing": Break(
        "failed", {"active_task": "task", "next_attempt_at": START}, after={"active_task": None}
    ),
    "only_waiting_jobs_are_queued": Break("waiting", {"ready_pool": "nobody's"}),
    "only_waiting_jobs_are_buffered": Break("running", {"buffered": True}, after={"buffered": False}),
    "ended_job_has_times": Break("succeeded", {"ended_at": None, "expires_at": None}),
    "ended_job_has_reason": Break("failed", {"reason": None}, after={"reason": Reason.UNKNOWN_ERROR}),
    "only_canceled_jobs_have_cancel_time": Break("canceled", {"canceled_at": None}),
    "cancel_times_are_in_order": Break("canceled", {"stopped_at": START - LATER}),
    "cancel_request_has_requester": Break(
        "canceled", {"cancel_requested_by": None}, after={"cancel_requested_by": "unknown"}
    ),
    "waiting_job_has_no_cancel_request": Break(
        "waiting",
        {"cancel_requested_at": START, "cancel_requested_by": "olga"},
        after={"status": JobStatus.CANCELED, "reason": Reason.BY_USER},
    ),
    "next_attempt_has_time": Break("between attempts", {"next_attempt_at": None}),
    "active_job_has_run": Break("running", {"worker": None}),
    "attempts_are_within_bounds": Break("between attempts", {"attempts_spent": 30}, after={"attempts_spent": 1}),
    "running_job_has_start": Break("running", {"first_started_at": None}),
    "runs_are_numbered": Break("succeeded", run={}),
    "only_active_run_is_open": Break("failed", run={"status": "running", "ended_at": None}),
    "ended_run_has_time": Break("failed", run={"ended_at": None}),
    "only_successful_runs_have_files": Break("failed", run={"files": [{"key": "k"}]}),
    "job_shows_newest_files": Break("failed after a success", {"files": None}),
    "fence_matches_run": Break("running", run={"fence": "another's"}),
    "job_matches_last_run": Break("succeeded", run={"status": "failed", "files": None}),
    "facets_match_columns": Break("waiting", {"facets": {"pool=another"}}),
}


def write(record: JobRecord | RunRecord, columns: dict[str, Any]) -> None:
    named = {name: getattr(type(record), name) for name in columns}
    record.update(
        [named[name].remove() if value is None else named[name].set(value) for name, value in columns.items()]
    )


def break_it(job_id: str, broken_by: Break) -> None:
    if broken_by.job is not None:
        write(job_store.get(job_id), broken_by.job)
    if broken_by.run == {}:
        RunRecord(job_id, 1).delete()
    elif broken_by.run is not None:
        write(RunRecord(job_id, 1), broken_by.run)


def names_of(job_id: str, aws: Aws) -> set[str]:
    facts = integrity.read(job_id, now=aws.now)
    assert facts is not None
    return {each.name for each in broken(facts)}


def told(output: str, message: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, output.splitlines()) if line["message"] == message]


def swept(aws: Aws) -> sweep.SweepResult:
    aws.forward(30)
    return sweep.sweep(now=aws.now)


def test_every_invariant_is_broken_here() -> None:
    assert sorted(WRONG) == sorted(each.name for each in INVARIANTS)


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_invariant_is_repaired_and_logged(name: str, aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    case = WRONG[name]
    job_id = STATES[case.state](aws)
    assert names_of(job_id, aws) == set()
    break_it(job_id, case)
    assert name in names_of(job_id, aws)
    [broken_one] = [each for each in INVARIANTS if each.name == name]
    capsys.readouterr()
    if broken_one.repair is None:
        with pytest.raises(FiringIncomplete):
            swept(aws)
        line = told(capsys.readouterr().out, "invariant broken beyond repair")[0]
        assert (line["level"], line["job_id"], line["invariant"]) == ("ERROR", job_id, name)
        return
    assert swept(aws).repaired > 0
    line = next(each for each in told(capsys.readouterr().out, "invariant repaired") if each["invariant"] == name)
    assert (line["level"], line["job_id"], line["says"]) == ("WARN", job_id, broken_one.meaning)
    assert line["changes"], "from what to what"
    assert names_of(job_id, aws) == set()
    job = job_store.get(job_id)
    assert {column: getattr(job, column) for column in case.after or {}} == (case.after or {})


def everything(aws: Aws) -> list[str]:
    return [make(aws) for make in STATES.values()]


def test_a_sound_table_is_left_alone(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    everything(aws)
    aws.queue.messages.clear()
    written: list[str] = []
    aws.tables.watchers.append(lambda table, before, after: written.append((after or before or {})["job_id"]["S"]))
    for walk in integrity.WALKS:
        watches.begin(Watched.PATROL, walk, at=aws.now)
        # No job here is of a slot of long ago.
        assert (integrity.take_turn(walk, now=aws.now).jobs > 0) is (walk != integrity.EARLY)
    assert {job_id.partition(".")[0] for job_id in written} == {"patrol"}
    assert told(capsys.readouterr().out, "invariant repaired") == []


def test_every_open_job_is_walked_by_turns_of_a_few(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [waiting(aws) for _ in range(4)] + [STATES["running"](aws)]
    monkeypatch.setattr(integrity, "JOBS_PER_TURN", 2)
    for job_id in made:
        write(job_store.get(job_id), {"rank": 1})
    watches.begin(Watched.PATROL, integrity.OPEN, at=aws.now)
    assert [integrity.take_turn(integrity.OPEN, now=aws.now).repaired for _ in range(4)] == [2, 2, 1, 0]
    assert all(names_of(job_id, aws) == set() for job_id in made)
    # Then it waits for its hour.
    entry = watches.find(Watched.PATROL, integrity.OPEN)
    assert entry is not None
    assert (entry.cursor, entry.lease_until) == (None, aws.now + integrity.EVERY)


def test_the_past_is_walked_back_a_slice_an_hour(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "JOBS_PER_TURN", 2)
    made = []
    for days in (70, 40, 39, 3, 2, 1, 0):
        job_id = waiting(aws)
        aws.queue.messages.clear()
        # As if it had been made so many days ago.
        old = job_store.get(job_id)
        old.created_at = aws.now - timedelta(days=days)
        old.job_id = made_at = ulid(old.created_at, str(days))
        old.month, old.trigger = month_bucket(made_at), Trigger.MANUAL
        JobRecord(job_id).delete()
        old.save()
        write(old, {"rank": 1})
        made.append(made_at)
    watches.begin(Watched.PATROL, integrity.PAST, at=aws.now)
    found = []
    for _ in range(5):
        found.append(integrity.take_turn(integrity.PAST, now=aws.now).jobs)
        aws.forward(3_600)
    # The two newest each time, and two before them, two more, the last one; then from the newest again.
    assert found == [4, 4, 3, 4, 4]
    assert all(names_of(job_id, aws) == set() for job_id in made)


def test_a_job_that_moved_since_is_not_repaired(aws: Aws) -> None:
    job_id = waiting(aws)
    before = job_store.get(job_id)
    deliver(aws, "die")
    assert not job_repairs.repair_job(before, {"rank": 1})
    assert runs.begin(RunRecord(job_id, 1, fence=job_store.get(job_id).fence, created_at=aws.now))
    run = runs.find(job_id, 1)
    write(RunRecord(job_id, 1), {"status": RunStatus.FAILED, "ended_at": aws.now})
    assert not job_repairs.repair_run(job_id, 1, run, {"files": None})
    assert not job_repairs.repair_run(job_id, 1, None, {"status": "failed", "fence": "lost", "created_at": aws.now})
    assert job_store.get(job_id).rank != 1


def test_a_run_that_is_recorded_anew_expires_with_its_job(aws: Aws) -> None:
    job_id = STATES["succeeded"](aws)
    break_it(job_id, WRONG["runs_are_numbered"])
    swept(aws)
    run = runs.find(job_id, 1)
    assert run is not None
    assert run.expires_at == job_store.get(job_id).expires_at


def test_a_job_whose_runs_expired_first_is_left_to_expire(aws: Aws) -> None:
    job_id = STATES["succeeded"](aws)
    break_it(job_id, WRONG["runs_are_numbered"])
    aws.now = job_store.get(job_id).expires_at + timedelta(minutes=5)
    watches.begin(Watched.PATROL, integrity.PAST, at=aws.now)
    done = integrity.take_turn(integrity.PAST, now=aws.now)
    assert (done.jobs, done.repaired) == (1, 0)
    assert runs.find(job_id, 1) is None


def calls_of(aws: Aws, act: Callable[[], Any]) -> int:
    """How many calls to AWS something makes."""
    made: list[str] = []
    aws.tables.moment = lambda name: made.append(name) if name.startswith("before") else None
    act()
    return len(made)


def test_the_hourly_check_costs_a_few_calls_and_an_idle_minute_none_more(aws: Aws) -> None:
    everything(aws)
    old = job_store.get(ended("succeed")(aws))
    old.trigger = Trigger.MANUAL
    old.facets = job_store.facets(old, old.status, None)
    for number in range(120):
        old.job_id = ulid(aws.now, str(number))
        old.save()
        RunRecord(old.job_id, 1, status="succeeded", fence="f", created_at=aws.now, ended_at=aws.now, files=[]).save()
    sweep.sweep(now=aws.now)
    idle = calls_of(aws, lambda: sweep.sweep(now=aws.now))
    assert idle == LEASE_SHARDS
    aws.forward(30)
    # Per walk: its entry twice begun, read and moved; ids, jobs and runs by hundreds. Each further shard of the
    # timeline takes a query for each of the months on the way back.
    assert calls_of(aws, lambda: sweep.sweep(now=aws.now)) <= idle + 30 + 6 * (settings().timeline_shards - 1)
