"""Firing: from due tasks to one job per slot, also after a crash at any step.

Per slot, `plan` puts the job under the id that the slot gives it, hands its token over to be sent, and moves the task
past the slot. Each step may be repeated: a second put is refused, the task moves once, and a spare token does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import TypeVar

from chalicelib.aws import sqs
from chalicelib.core import TZDATA_VERSION
from chalicelib.errors import FiringIncomplete
from chalicelib.log import event
from chalicelib.queue.leases import LONGEST_DELAY
from chalicelib.retrying import RECORD_ERRORS, SERVICE_ERRORS, retried
from chalicelib.scheduling import ahead
from chalicelib.scheduling.outbox import Outbox, send_tokens
from chalicelib.scheduling.slots import Slot, apply_misfire, is_open, job_of_slot, missed_since, next_slot, record
from chalicelib.store import tasks
from chalicelib.store.base import KEYS_PER_CALL
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord

# Ticks come a minute apart, give or take ten seconds, and take a moment: each plans this far ahead.
HORIZON = timedelta(seconds=90)
# Slots planned in one tick: of one task, so that after an outage a frequent task does not starve the others; of all.
SLOTS_PER_TASK = 200
SLOTS_PER_TICK = 5_000
# Firing waits on DynamoDB, not on the processor.
THREADS = 16
# A token waits this long at most for others to fill its batch.
OUTBOX_SECONDS = 0.5

T = TypeVar("T")


@dataclass
class Budget:
    """How much this tick may still do; the next tick does the rest."""

    slots: int = SLOTS_PER_TICK
    time_left: Callable[[], float] = lambda: float("inf")
    _lock: Lock = field(default_factory=Lock)

    # Kept back from the function's time, for slots in flight and for sending their tokens.
    RESERVE_SECONDS = 10.0

    def spend(self) -> bool:
        """Take one slot from the budget; False when it is spent."""
        with self._lock:
            if self.slots <= 0 or self.time_left() < self.RESERVE_SECONDS:
                return False
            self.slots -= 1
            return True


@dataclass(frozen=True)
class Fired:
    """What a tick did: the tasks that were due, the jobs it sent a token for, the tasks it left to the next tick."""

    tasks: int
    slots: int
    left: int = 0


def tick(*, now: datetime, time_left: Callable[[], float] = lambda: float("inf")) -> Fired:
    """Plan every slot due before `now` plus the horizon, and send the tokens of its jobs as they are planned.

    What fails for one task, or one shard of the index, keeps nothing else from firing: FiringIncomplete is raised at
    the end. The next tick plans what this one could not; `sweep` sends the tokens that this one could not.
    """
    run = _Tick(now, Budget(SLOTS_PER_TICK, time_left))
    with ThreadPoolExecutor(THREADS) as pool:
        ids = [task_id for found in pool.map(run.due_ids, range(tasks.DUE_SHARDS)) for task_id in found]
        due = [task for found in pool.map(run.read, _chunks(ids, KEYS_PER_CALL)) for task in found]
        firing = [pool.submit(run.fire, task) for task in due]
        while wait(firing, timeout=OUTBOX_SECONDS).not_done:
            run.outbox.send_all()
        for each in firing:
            # Nothing but a fault of this module comes out of a thread.
            each.result()
    run.outbox.send_all()
    fired = Fired(len(ids), run.outbox.sent, run.left)
    if ids or run.problems:
        event("tick", tasks=fired.tasks, slots=fired.slots, left=fired.left, unsent=run.outbox.unsent)
    if run.unplanned or run.problems or run.outbox.unsent:
        raise FiringIncomplete(_incomplete(run, len(ids)))
    return fired


def _incomplete(run: _Tick, due: int) -> str:
    said = []
    if run.unplanned:
        said.append(f"{run.unplanned} of {due} due tasks cannot be planned")
    if run.problems:
        said.append(f"{run.problems} shards of the index of due tasks cannot be read")
    if run.outbox.unsent:
        said.append(f"{run.outbox.unsent} tokens cannot be sent and are left to sweep")
    return f"{', '.join(said)}; the log names them."


class _Tick:
    """One tick: what its threads share."""

    def __init__(self, now: datetime, budget: Budget):
        self.now, self.budget = now, budget
        self.outbox = Outbox(now, time_left=budget.time_left)
        # Tasks that could not be read or planned; tasks with slots left to the next tick; shards that were not read.
        self.unplanned = self.left = self.problems = 0
        self._lock = Lock()

    def due_ids(self, shard: int) -> list[str]:
        try:
            return retried(
                lambda: list(tasks.due_ids(shard, before=self.now + HORIZON)), time_left=self.budget.time_left
            )
        except SERVICE_ERRORS as error:
            event("due tasks cannot be read", level="ERROR", shard=shard, error=str(error))
            with self._lock:
                self.problems += 1
            return []

    def read(self, ids: list[str]) -> list[TaskRecord]:
        """The tasks of these ids. Where one cannot be read, each is read by itself."""
        try:
            return retried(lambda: tasks.get_many(ids), time_left=self.budget.time_left)
        except RECORD_ERRORS as error:
            if len(ids) == 1:
                self._cannot_be_planned(ids[0], error)
                return []
        return [task for task_id in ids for task in self.read([task_id])]

    def fire(self, task: TaskRecord) -> None:
        """Plan one task, and hand over each of its tokens as soon as its job is recorded."""
        try:
            for job in plan(task, now=self.now, budget=self.budget):
                self.outbox.add(job)
        except RECORD_ERRORS as error:
            self._cannot_be_planned(task.task_id, error)
        if task.next_fire_at is not None and task.next_fire_at < self.now + HORIZON:
            with self._lock:
                self.left += 1

    def _cannot_be_planned(self, task_id: str, error: Exception) -> None:
        event("task cannot be planned", level="ERROR", task_id=task_id, error=str(error))
        with self._lock:
            self.unplanned += 1


def plan_now(task: TaskRecord, *, now: datetime, until: datetime | None = None) -> None:
    """Plan one task at once. After a save: a slot may come before the next tick. Before an edit, `until` the edit: the
    slots due by then, and at that instant, are recorded as they were defined.
    """
    if task.next_fire_at is not None and _is_due(task.next_fire_at, now=now, until=until):
        for batch in _chunks(list(plan(task, now=now, budget=Budget(), until=until)), sqs.BATCH):
            send_tokens(batch, now=now)


def plan(task: TaskRecord, *, now: datetime, budget: Budget, until: datetime | None = None) -> Iterator[JobRecord]:
    """Record the task's slots up to `until`, else before the horizon, oldest first; give the jobs to send tokens for,
    each as soon as it is recorded.

    The caller sends them: should the process die before that, the job's lease expires and `sweep` sends its token. A
    write that a service fails is tried again; what fails for good is raised.
    """
    if task.tzdata_version != TZDATA_VERSION and not retried(
        lambda: _replan_for_new_zone_data(task), time_left=budget.time_left
    ):
        return
    not_run = None
    for _ in range(SLOTS_PER_TASK):
        at = task.next_fire_at
        if at is None or not _is_due(at, now=now, until=until) or not budget.spend():
            break
        slot = apply_misfire(task, at, now=now)
        job = job_of_slot(task, slot, now=now)
        if _recorded(job, task, budget):
            if not is_open(job):
                not_run = job
            elif job.not_before - now <= LONGEST_DELAY:
                yield job
        if not retried(partial(_advance, task, slot, job, now=now), time_left=budget.time_left):
            break
    if not_run is not None:
        tasks.note_latest(task.task_id, job_id=not_run.job_id, status=not_run.status, at=now)


def _recorded(job: JobRecord, task: TaskRecord, budget: Budget) -> bool:
    """Put the slot's job; False when the slot had its job already.

    True also when a put failed that may have had its effect, so that the next try was refused: a spare token does no
    harm, and a missing one costs a minute.
    """
    failed = False

    def put() -> bool:
        nonlocal failed
        try:
            return record(job, task=task)
        except SERVICE_ERRORS:
            failed = True
            raise

    return retried(put, time_left=budget.time_left) or failed


def _is_due(at: datetime, *, now: datetime, until: datetime | None) -> bool:
    return at < now + HORIZON if until is None else at <= until


def _advance(task: TaskRecord, slot: Slot, job: JobRecord, *, now: datetime) -> bool:
    """Move the task past the slot; False when another caller did, or the task was edited."""
    return tasks.advance(
        task,
        next_fire_at=slot.following,
        previous_fire_at=task.previous_fire_at if slot.day_off else slot.at,
        missed_since=missed_since(task, slot, job),
        tzdata_version=TZDATA_VERSION,
        ahead=ahead.with_entry(task, slot.at, now=now),
    )


def _replan_for_new_zone_data(task: TaskRecord) -> bool:
    """Compute the task's next slot by today's time-zone data; False when another caller moved or edited the task."""
    known = max(task.previous_fire_at or task.updated_at, task.updated_at)
    following = next_slot(task, after=known)
    due = task.next_fire_at
    if following is None or task.schedule["type"] in ("now", "once", "interval") or following == due:
        return True
    event("slot moved by new time-zone data", task_id=task.task_id, was=due, now=following)
    return tasks.advance(
        task,
        next_fire_at=following,
        previous_fire_at=task.previous_fire_at,
        missed_since=task.missed_since,
        tzdata_version=TZDATA_VERSION,
        ahead=task.ahead,
    )


def _chunks(found: list[T], size: int) -> list[list[T]]:
    return [found[at : at + size] for at in range(0, len(found), size)]
