"""The scenarios of the fault matrix, and how one case is played: one scenario, one fault, at one of its calls."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from threading import Semaphore, current_thread
from typing import Any
from unittest import mock

from chalicelib.clock import Clock
from chalicelib.core.invariants.table import broken
from chalicelib.core.lifecycle import ENDED, JobStatus
from chalicelib.errors import CarillonError, ConnectionDropped
from chalicelib.jobs import actions
from chalicelib.kinds.protocol import Outcome
from chalicelib.maintenance import integrity, sweep
from chalicelib.queue import claim
from chalicelib.retrying import SERVICE_ERRORS
from chalicelib.scheduling import tick
from chalicelib.store.job_record import JobRecord
from chalicelib.tasks import editing
from chalicelib.worker import live_run, worker
from tests.faults import test_action_crashes as of_actions
from tests.faults.injection import Fault, Faults, applies
from tests.model.aws import VISIBILITY, Aws, Message
from tests.model.playing import playing
from tests.model.watch import Watch
from tests.model.work import behave, leave_a_file
from tests.support.simulator import OPERATOR, PROBE, WORK_TIME

S = JobStatus
RETRY = {"max_attempts": 8, "delay_seconds": 0}
# Bytes of a spec: with it a job is nearly as large as one may be.
LARGE = 250_000
# What a process may end with: a service failed it, or it refused what was asked of it. Anything else is a bug.
EXPECTED = (*SERVICE_ERRORS, CarillonError)
SETTLING = (0, 61, 61, 61, 61, 61, 960, 61, 61, 61, 3_700, 61, 61)


class Story:
    """One stage, and the processes that its scenario runs with faults."""

    def __init__(self, aws: Aws, faults: Faults):
        self.aws, self.faults, self.watch = aws, faults, Watch(aws.tables, lambda: aws.now)
        aws.tables.watchers.append(self.watch)
        self.watched = False
        self.task_id = ""

    # --- processes ---

    def process(self, step: Callable[[], Any], *, again: Callable[[], Any] | None = None) -> None:
        """Run a process whose calls have faults. `again` is a second delivery of what started it."""
        self.faults.duplicate = lambda: contained(again or step)
        self.aws.tables.around = self.faults
        try:
            contained(step)
        finally:
            self.aws.tables.around = quietly

    def tick(self) -> None:
        self.process(lambda: tick.tick(now=self.aws.now))

    def sweep(self) -> None:
        self.process(lambda: sweep.sweep(now=self.aws.now))

    def deliver(self) -> None:
        while due := self.aws.queue.due():
            self.process(lambda message=due[0]: self.handle(message), again=lambda message=due[0]: self.work(message))  # type: ignore[misc]

    def handle(self, message: Message) -> None:
        message.due = self.aws.now + VISIBILITY
        self.work(message)
        self.aws.queue.done(message)

    def work(self, message: Message) -> None:
        clock = Clock(now=lambda: self.aws.now, sleep=self.aws.forward)
        me = claim.Worker("w", self.aws.now + WORK_TIME, clock, watched=self.watched)
        worker.handle(message.body, worker=me)

    def until_quiet(self) -> None:
        for seconds in SETTLING:
            self.aws.forward(seconds)
            contained(lambda: tick.tick(now=self.aws.now))
            sweep.sweep(now=self.aws.now)
            while due := self.aws.queue.due():
                self.handle(due[0])
            if not self.aws.queue.messages and all(job.status in ENDED for job in self.jobs()):
                return

    # --- what there is ---

    def task(self, minutes: str = "5", **changes: Any) -> str:
        body = {
            "name": "x",
            "kind": "probe",
            "schedule": {"type": "cron", "expression": f"{minutes} 9 * * *", "end": "2026-03-02T23:00:00"},
            "retry": RETRY,
            **changes,
        }
        self.task_id = str(editing.create(body, actor=OPERATOR, now=self.aws.now).task_id)
        return self.task_id

    def jobs(self) -> list[JobRecord]:
        return [
            JobRecord.from_raw_data(item) for (key,), item in sorted(self.watch.jobs.items.items()) if "." not in key
        ]

    def job_id(self) -> str:
        return str(self.jobs()[0].job_id)


def quietly(name: str, given: dict[str, Any], call: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    return call(given)


def contained(step: Callable[[], Any]) -> None:
    """Run a process to its end, which may be an error: what it leaves is for the others."""
    with suppress(*EXPECTED):
        step()


# --- scenarios --------------------------------------------------------------------------------------------------------

Scenario = Callable[[Story], None]


def fires(minutes: str = "5", **changes: Any) -> Scenario:
    """Slots from their tick to their end."""

    def scenario(its: Story) -> None:
        its.task(minutes, **changes)
        its.aws.forward(240)
        its.tick()
        its.aws.forward(60)
        its.deliver()
        its.sweep()
        its.aws.forward(61)
        its.tick()
        its.deliver()
        its.sweep()

    return scenario


def fails_first(its: Story) -> None:
    def behaviour(context: Any) -> Outcome:
        leave_a_file(context)
        if len(PROBE.runs) == 1:
            raise ConnectionDropped
        return leave_a_file(context)

    PROBE.behaviour = behaviour
    fires()(its)


def talks_much(its: Story) -> None:
    """A record near its limit: a large spec, a long error, and a log of several chunks."""

    def behaviour(context: Any) -> Outcome:
        for number in range(3):
            context.log("INFO", f"{number}: " + "x" * 200_000)
        if len(PROBE.runs) == 1:
            raise ConnectionDropped("y" * 100_000)
        return leave_a_file(context)

    PROBE.behaviour = behaviour
    fires(spec={"filler": "z" * LARGE})(its)


def long_under_the_watch(its: Story) -> None:
    """A run of a minute whose watch looks at it every five seconds, in its own thread."""
    looked = Semaphore(0)
    look = live_run.LiveRun.check_unless_unanswered

    def noted(live: live_run.LiveRun) -> None:
        look(live)
        if current_thread().name.startswith("watch-"):
            looked.release()

    def behaviour(context: Any) -> Outcome:
        if len(PROBE.runs) > 1 or not its.watched:
            return leave_a_file(context)
        for _ in range(12):
            its.aws.forward(5)
            while looked.acquire(blocking=False):
                pass
            if not looked.acquire(timeout=10):
                # Not raised: the worker would take it for the kind's own failure.
                its.watch.wrong.append("the watch looks no more")
            context.check()
        return leave_a_file(context)

    PROBE.behaviour = behaviour
    its.watched = True
    with (
        mock.patch.object(live_run.LiveRun, "check_unless_unanswered", noted),
        mock.patch.object(live_run, "WATCH_SECONDS", 0.001),
    ):
        fires()(its)
    its.watched = False


def ahead(act: Callable[[Story], Any]) -> Scenario:
    """An action on a job whose slot is half a minute ahead, and on its task."""

    def scenario(its: Story) -> None:
        its.task("1,3")
        its.aws.forward(30)
        its.process(lambda: act(its))

    return scenario


def cancel(its: Story) -> None:
    actions.cancel(its.job_id(), actor=OPERATOR, now=its.aws.now)


def cancel_and_rerun(its: Story) -> None:
    cancel(its)
    actions.rerun(its.job_id(), actor=OPERATOR, now=its.aws.now)


def set_priority(its: Story) -> None:
    actions.set_priority(its.job_id(), 4_000, actor=OPERATOR, now=its.aws.now)


def edit(its: Story) -> None:
    change = {"schedule": {"type": "cron", "expression": "2 9 * * *", "end": "2026-03-02T23:00:00"}}
    editing.patch(its.task_id, change, revision=None, actor=OPERATOR, now=its.aws.now)


def disable_and_enable(its: Story) -> None:
    editing.disable(its.task_id, actor=OPERATOR, now=its.aws.now)
    editing.enable(its.task_id, actor=OPERATOR, now=its.aws.now)


def delete_task(its: Story) -> None:
    editing.delete(its.task_id, actor=OPERATOR, now=its.aws.now)


def acts_on(name: str) -> Scenario:
    """A case of the crash matrix of actions: its state, then its step."""

    def scenario(its: Story) -> None:
        case = of_actions.CASES[name]
        PROBE.behaviour = behave
        played = of_actions.Played(its.aws, case)
        # The step's own watcher and this story's see the same writes.
        its.aws.tables.watchers.remove(played.watch)
        its.process(lambda: case.step(played))

    return scenario


FIRED = frozenset({S.SUCCEEDED})
ANY_END = frozenset({S.SUCCEEDED, S.CANCELED, S.FAILED, S.TIMED_OUT, S.SKIPPED})
# Scenario, and how its jobs may end.
SCENARIOS: dict[str, tuple[Scenario, frozenset[JobStatus]]] = {
    "fire": (fires(), FIRED),
    "retry": (fails_first, FIRED),
    "buffered": (fires("5,6", overlap="buffer_all", misfire="catch_up"), FIRED),
    "parked": (fires("5,6", overlap="allow_all", max_concurrency=1, misfire="catch_up"), FIRED),
    "record near its limit": (talks_much, FIRED),
    "watch on": (long_under_the_watch, FIRED),
    **{
        f"slot ahead: {act.__name__}": (ahead(act), ANY_END)
        for act in (cancel, cancel_and_rerun, set_priority, edit, disable_and_enable, delete_task)
    },
    **{name: (acts_on(name), case.ends | {S.FAILED}) for name, case in of_actions.CASES.items()},
}


# --- cases ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FaultCase:
    scenario: str
    fault: Fault | None = None
    at: int = 0
    call: str = ""

    def __str__(self) -> str:
        return f"{self.scenario}: {self.fault} at call {self.at}, {self.call}"


def every_case(scenario: str) -> list[FaultCase]:
    """Each fault at each call that the scenario makes when it is left alone."""
    calls = play(FaultCase(scenario))
    return [
        FaultCase(scenario, fault, at, name)
        for at, name in enumerate(calls, 1)
        for fault in Fault
        if applies(fault, name)
    ]


def sample(cases: list[FaultCase], *, one_in: int, seed: str) -> list[FaultCase]:
    """At least one of each fault; the same ones each time."""
    draw = random.Random(seed)
    chosen: list[FaultCase] = []
    for fault in Fault:
        of_fault = [case for case in cases if case.fault is fault]
        if of_fault:
            chosen += draw.sample(of_fault, -(-len(of_fault) // one_in))
    return chosen


@contextmanager
def a_story(case: FaultCase) -> Iterator[Story]:
    with playing() as aws:
        PROBE.runs.clear()
        PROBE.behaviour = leave_a_file
        yield Story(aws, Faults(case.fault, case.at))


def play(case: FaultCase) -> list[str]:
    """Play a case to its end and check it: the calls that could have the fault."""
    scenario, ends = SCENARIOS[case.scenario]
    with a_story(case) as its:
        try:
            scenario(its)
            its.until_quiet()
            # What only the hourly check finds, it finds now.
            its.aws.now = (its.aws.now + timedelta(hours=1)).replace(minute=integrity.MINUTE)
            contained(lambda: sweep.sweep(now=its.aws.now))
            check(its, ends)
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from error
        return its.faults.calls


def check(its: Story, ends: frozenset[JobStatus]) -> None:
    assert its.watch.wrong == []
    shown: set[str] = set()
    for job in its.jobs():
        facts = its.watch.facts(job.job_id)
        assert facts is not None
        assert [each.name for each in broken(facts)] == []
        assert job.status in ends, (job.status, job.reason, job.error)
        assert its.watch.ended[job.job_id] == its.watch.rerun[job.job_id] + 1, "every job ends once"
        shown |= {file["key"] for run in facts.runs for file in run.files or ()}
    assert its.aws.queue.messages == []
    files = {key for key in its.aws.bucket.objects if key.startswith("files/")}
    assert files == shown, "every file that a run shows is there, and no other"
