"""Cancel, re-run and the repairs of a sweep, with the process dying before and after every call to AWS.

The request is not repeated: ticks, sweeps and workers alone bring each job to its one end. Then its times are in order,
the record breaks no invariant, and nothing is left in the index `ready`, in SQS or in the bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.clock import Clock
from chalicelib.core.invariants.table import INVARIANTS, broken
from chalicelib.core.lifecycle import ENDED, JobStatus, Reason
from chalicelib.jobs import actions
from chalicelib.kinds.protocol import Outcome
from chalicelib.maintenance import integrity, sweep
from chalicelib.queue import claim
from chalicelib.store import jobs as job_store
from chalicelib.store.job_record import JobRecord
from chalicelib.worker import worker
from tests.faults.conftest import POINTS
from tests.maintenance.test_integrity import STATES, WRONG, break_it, waiting
from tests.model.aws import VISIBILITY, Aws, Message
from tests.model.playing import playing
from tests.model.processes import Process, current, moment
from tests.model.watch import Watch
from tests.model.work import leave_a_file
from tests.support.simulator import OPERATOR, PROBE, WORK_TIME

S = JobStatus


class Played:
    """One job, and the process that dies."""

    def __init__(self, aws: Aws, case: Case):
        self.aws, self.case, self.watch = aws, case, Watch(aws.tables, lambda: aws.now)
        aws.tables.watchers.append(self.watch)
        # Every call of the process that is to die, as "before …" and "after …".
        self.moments: list[str] = []
        self.job_id = case.state(aws)

    def step(self, dies_at: int | None) -> None:
        """Play the step to its end, or let the process die at one of its moments."""

        def noted(name: str) -> None:
            if current() is process:
                self.moments.append(name)
            moment(name)

        process = Process(lambda: self.case.step(self))
        self.aws.moment = noted
        if not process.go(dies_at):
            process.kill()
        self.aws.moment = moment

    def until_quiet(self) -> None:
        """Sweeps and workers go on; leases last up to an hour."""
        for seconds in (0, 61, 61, 61, 960, 61, 61, 3_700, 61, 61):
            self.aws.forward(seconds)
            sweep.sweep(now=self.aws.now)
            while due := self.aws.queue.due():
                deliver(self, due[0])
            if self.job().status in ENDED and not self.aws.queue.messages and self.aws.now.minute != integrity.MINUTE:
                return

    def job(self) -> JobRecord:
        return job_store.get(self.job_id)


def deliver(played: Played, message: Message | None = None) -> None:
    """A worker takes a message; when the worker dies, the message comes back."""
    message = message or played.aws.queue.messages[0]
    message.due = played.aws.now + VISIBILITY
    clock = Clock(now=lambda: played.aws.now)
    worker.handle(message.body, worker=claim.Worker("w", played.aws.now + WORK_TIME, clock, watched=False))
    played.aws.queue.done(message)


# --- the steps --------------------------------------------------------------------------------------------------------


def cancel(played: Played) -> None:
    actions.cancel(played.job_id, actor=OPERATOR, now=played.aws.now)


def rerun(played: Played) -> None:
    actions.rerun(played.job_id, actor=OPERATOR, now=played.aws.now)


def swept(played: Played) -> None:
    sweep.sweep(now=played.aws.now)


def canceled_while_it_works(played: Played) -> None:
    """The job's worker is at work when the request comes, and stops."""

    def obey(context: Any) -> Outcome:
        if len(PROBE.runs) == 1:
            leave_a_file(context)
            cancel(played)
            played.aws.forward(1)
        context.check_for_stop()
        context.check()
        return Outcome(rows=1)

    PROBE.behaviour = obey
    deliver(played)


# --- the states that the steps begin in -------------------------------------------------------------------------------


def later(
    state: Callable[[Aws], str], seconds: int, *, canceled: bool = False, lost: bool = False
) -> Callable[[Aws], str]:
    """A job in that state whose cancel was requested, or whose token was lost, some time ago."""

    def make(aws: Aws) -> str:
        job_id = state(aws)
        if canceled:
            actions.cancel(job_id, actor=OPERATOR, now=aws.now)
        if lost:
            aws.queue.messages.clear()
        aws.forward(seconds)
        return job_id

    return make


def broken_by_hand(name: str) -> Callable[[Aws], str]:
    def make(aws: Aws) -> str:
        job_id = STATES[WRONG[name].state](aws)
        break_it(job_id, WRONG[name])
        return job_id

    return make


def of_a_short_wait(aws: Aws) -> str:
    return waiting(aws, queue_wait_limit_seconds=30)


@dataclass(frozen=True)
class Case:
    state: Callable[[Aws], str]
    step: Callable[[Played], Any]
    ends: frozenset[JobStatus]


def ends(*statuses: JobStatus) -> frozenset[JobStatus]:
    return frozenset(statuses)


# A request whose process died before its first write was never made: then the job goes on as without it.
CASES = {
    "cancel of a waiting job": Case(waiting, cancel, ends(S.CANCELED, S.SUCCEEDED)),
    "cancel between attempts": Case(STATES["between attempts"], cancel, ends(S.CANCELED, S.SUCCEEDED)),
    "cancel of a running job": Case(waiting, canceled_while_it_works, ends(S.CANCELED, S.SUCCEEDED, S.FAILED)),
    "cancel of a job whose worker is gone": Case(STATES["running"], cancel, ends(S.CANCELED, S.FAILED)),
    "re-run of a failed job": Case(STATES["failed"], rerun, ends(S.SUCCEEDED, S.FAILED)),
    "re-run of a canceled job": Case(STATES["canceled"], rerun, ends(S.SUCCEEDED, S.CANCELED)),
    "re-run of a success": Case(STATES["succeeded"], rerun, ends(S.SUCCEEDED)),
    "sweep of a lost token": Case(later(waiting, 61, lost=True), swept, ends(S.SUCCEEDED)),
    "sweep of a lost worker": Case(later(STATES["running"], 1_000), swept, ends(S.FAILED)),
    "sweep of a cancel that no worker obeys": Case(
        later(STATES["running"], 1_000, canceled=True), swept, ends(S.CANCELED)
    ),
    "sweep of a wait too long": Case(later(of_a_short_wait, 61, lost=True), swept, ends(S.TIMED_OUT)),
    "sweep of a lost attempt": Case(later(STATES["between attempts"], 700, lost=True), swept, ends(S.SUCCEEDED)),
}
MENDED = [each.name for each in INVARIANTS if each.repair is not None]
WRITES = ("PutItem", "UpdateItem", "DeleteItem")


@contextmanager
def played(case: Case) -> Iterator[Played]:
    with playing() as aws:
        PROBE.runs.clear()
        aws.now = aws.now.replace(minute=integrity.MINUTE)
        yield Played(aws, case)


def play(case: Case, at: int | None, check: Callable[[Played], None]) -> list[str]:
    with played(case) as its:
        try:
            its.step(at)
            its.until_quiet()
            check(its)
        except AssertionError as error:
            where = "undisturbed" if at is None else f"crash {at}: {its.moments[at - 1]}"
            raise AssertionError(f"{where}: {error}") from error
        return its.moments


def check_sound(its: Played) -> None:
    job, facts = its.job(), integrity.read(its.job_id, now=its.aws.now)
    assert facts is not None
    assert [each.name for each in broken(facts)] == []
    assert job.status in its.case.ends
    assert its.watch.ended[its.job_id] == its.watch.rerun[its.job_id] + 1, "every job ends once"
    assert its.aws.queue.messages == []
    if job.status == S.CANCELED and job.reason == Reason.BY_USER:
        assert job.cancel_requested_at <= (job.stopped_at or job.canceled_at) <= job.canceled_at == job.ended_at
        # Of a worker that died nothing says when its work stopped, and the record says that.
        assert (job.stopped_at is None) == ("is not known" in (job.error or ""))
    shown = {file["key"] for run in facts.runs for file in run.files or ()}
    assert {key for key in its.aws.bucket.objects if key.startswith("files/")} == shown, "no half-written file stays"


def check_never_unsound(its: Played) -> None:
    check_sound(its)
    assert its.watch.wrong == []


@pytest.mark.parametrize("name", CASES)
def test_dying_at_any_call_of_an_action_loses_nothing(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    moments = play(CASES[name], None, check_never_unsound)
    for point in range(1, len(moments) + 1):
        play(CASES[name], point, check_never_unsound)
    record_property(f"{POINTS} of actions", len(moments))


@pytest.mark.parametrize("name", MENDED)
def test_dying_around_any_write_of_a_repair_leaves_it_to_the_next(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    case = Case(broken_by_hand(name), swept, frozenset(S))
    moments = play(case, None, check_mended)
    points = [at for at, moment in enumerate(moments, 1) if moment.endswith(WRITES)]
    for point in points:
        play(case, point, check_mended)
    record_property(f"{POINTS} of repairs", len(points))


def check_mended(its: Played) -> None:
    # The walks come again within the hour.
    its.aws.forward(3_600)
    its.aws.now = its.aws.now.replace(minute=integrity.MINUTE)
    sweep.sweep(now=its.aws.now)
    its.until_quiet()
    facts = integrity.read(its.job_id, now=its.aws.now)
    assert facts is not None
    assert [each.name for each in broken(facts)] == []
    assert facts.job.status in ENDED
    assert its.watch.ended[its.job_id] <= 1 + its.watch.rerun[its.job_id]
