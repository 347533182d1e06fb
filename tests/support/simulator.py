"""Drives a whole stage by hand: ticks, deliveries and sweeps under a clock that the test moves.

The queue is moto's, but delays are not waited for: a token is delivered when the test's clock has reached its time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

from pydantic import BaseModel

from chalicelib.access.actor import Actor
from chalicelib.aws import sqs as aws_sqs
from chalicelib.aws.clients import client
from chalicelib.clock import Clock
from chalicelib.core.lifecycle import OPEN
from chalicelib.kinds import registry
from chalicelib.kinds.protocol import Outcome, RunContext, Target
from chalicelib.maintenance import sweep as sweeping
from chalicelib.queue import claim
from chalicelib.queue.leases import token_of
from chalicelib.scheduling import tick as scheduling_tick
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import editing as task_editing
from chalicelib.worker.worker import handle
from tests.support.world import World

OPERATOR = Actor(name="olga", role="admin")
# A message that its worker did not finish comes back after this.
VISIBILITY = timedelta(seconds=960)
# A Lambda may run this long.
WORK_TIME = timedelta(seconds=900)


class ProbeSpec(BaseModel):
    """Takes anything."""


@dataclass
class Probe:
    """A kind that does what the test says: counts its runs, and fails or succeeds."""

    Spec: ClassVar[type[BaseModel]] = ProbeSpec
    preconditions: ClassVar[frozenset[str]] = frozenset()
    definition_holds: ClassVar[str] = "words"

    behaviour: Callable[[RunContext], Outcome] = lambda context: Outcome(rows=1, summary="done")
    runs: list[str] = field(default_factory=list)
    works_on: Target = field(default_factory=Target)

    def check_spec(self, spec: Any, *, has_window: bool, timezone: str) -> dict[str, Any]:
        return dict(spec)

    def target(self, spec: Any) -> Target:
        return self.works_on

    def definition(self, spec: Any) -> dict[str, Any]:
        return {"words": "as it stands now"}

    def check_parameters(
        self, spec: Any, parameters: Any, *, has_window: bool, complete: bool, candidate: Any = None
    ) -> None:
        pass

    def run(self, context: RunContext) -> Outcome:
        self.runs.append(context.facts.job_id)
        return self.behaviour(context)


PROBE = Probe()


def probe() -> Probe:
    return PROBE


@dataclass
class Message:
    body: str
    due: datetime


@dataclass
class Stage:
    """The stage of one test."""

    world: World
    probe: Probe
    messages: list[Message] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return self.world.now

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.world.now, sleep=lambda seconds: self._sleep(seconds))

    def _sleep(self, seconds: float) -> None:
        self.world.now += timedelta(seconds=seconds)

    def task(self, **changes: Any) -> TaskRecord:
        """A task of the probe kind, every minute unless told otherwise."""
        body: dict[str, Any] = {
            "name": f"task {self.world.number()}",
            "kind": "probe",
            "schedule": {"type": "cron", "expression": "* * * * *"},
        }
        task = task_editing.create(body | changes, actor=OPERATOR, now=self.now)
        self.collect()
        return task

    # --- what AWS does ---

    def tick(self) -> scheduling_tick.Fired:
        fired = scheduling_tick.tick(now=self.now)
        self.collect()
        return fired

    def sweep(self) -> sweeping.SweepResult:
        swept = sweeping.sweep(now=self.now)
        self.collect()
        return swept

    def collect(self) -> None:
        """Take new messages off the queue and keep them until their time."""
        sqs = client("sqs")
        while found := sqs.receive_message(
            QueueUrl=self.world.queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in found:
                delay = int(message["MessageAttributes"]["delay"]["StringValue"])
                self.messages.append(Message(message["Body"], self.now + timedelta(seconds=delay)))
                sqs.delete_message(QueueUrl=self.world.queue_url, ReceiptHandle=message["ReceiptHandle"])

    def deliver(self, *, limit: int | None = None) -> int:
        """Hand every message whose time has come to a worker, in order; one that dies gives its message back."""
        self.collect()
        delivered = 0
        while (due := [each for each in self.messages if each.due <= self.now]) and delivered != limit:
            message = min(due, key=lambda each: each.due)
            self.messages.remove(message)
            delivered += 1
            try:
                self.work(message.body)
            except BaseException:
                message.due = self.now + VISIBILITY
                self.messages.append(message)
                raise
            self.collect()
        return delivered

    def work(self, body: str) -> JobRecord | None:
        worker = claim.Worker("worker-1", self.now + WORK_TIME, self.clock, watched=False)
        return handle(body, worker=worker)

    def minutes(self, count: int, *, sweep: bool = True) -> None:
        """Let minutes pass as they do on AWS: a tick, a sweep, and deliveries within the minute."""
        for _ in range(count):
            self.tick()
            if sweep:
                self.sweep()
            until = self.now + timedelta(minutes=1)
            while True:
                self.deliver()
                coming = [each.due for each in self.messages if each.due < until]
                if not coming:
                    break
                self.world.now = max(self.now, min(coming))
            self.world.now = until

    # --- what a test looks at ---

    def jobs(self) -> list[JobRecord]:
        """What stands in the table of jobs to watch over rules is none."""
        return sorted(JobRecord.scan(JobRecord.month.exists()), key=lambda job: job.job_id)

    def runs(self) -> list[RunRecord]:
        return sorted(RunRecord.scan(), key=lambda run: (run.job_id, run.run_no))

    def open_jobs(self) -> list[JobRecord]:
        return [job for job in self.jobs() if job.status in OPEN]


def strip_delay(params: dict[str, Any], **_: Any) -> None:
    """Carry the delay as an attribute instead: moto would make the test wait for it."""
    for entry in params.get("Entries", []):
        delay = entry.pop("DelaySeconds", 0)
        entry["MessageAttributes"] = {"delay": {"DataType": "Number", "StringValue": str(delay)}}


def a_stage(world: World, monkeypatch: Any) -> Stage:
    PROBE.runs.clear()
    PROBE.behaviour = Probe().behaviour
    PROBE.works_on = Target()
    monkeypatch.setitem(registry.KINDS, "probe", "tests.support.simulator:probe")
    # The test's clock stands still while a tick works.
    monkeypatch.setattr("chalicelib.scheduling.outbox.clock", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr("chalicelib.clock.pause", lambda longest: None)
    events = client("sqs").meta.events
    events.register("before-parameter-build.sqs.SendMessageBatch", strip_delay, unique_id="tests-delay")
    return Stage(world, PROBE)


def body_of(job: JobRecord) -> str:
    """The message that a job's token travels in."""
    return aws_sqs.body(token_of(job))
