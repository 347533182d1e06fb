"""Firing: from due tasks to one job per slot, whatever crashes.

Per slot: put the job under the id that the slot gives it, send its token, then move the task past the slot. Each step
may be repeated: the put is refused, the token is spare, the move goes through once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from chalicelib import clock
from chalicelib.aws import sqs
from chalicelib.core import TZDATA_VERSION
from chalicelib.core.misfire import Verdict
from chalicelib.errors import CarillonError, FiringIncomplete
from chalicelib.log import event
from chalicelib.queue.leases import LONGEST_DELAY
from chalicelib.scheduling import slots as scheduling_slots
from chalicelib.store import jobs, tasks
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord

# A tick comes every minute, give or take ten seconds, and takes a moment: it plans this far ahead.
HORIZON = timedelta(seconds=90)
# Slots planned in one tick: of one task, so that a long outage of a frequent task starves nobody; and of all.
SLOTS_PER_TASK = 200
SLOTS_PER_TICK = 5_000
# Firing waits on DynamoDB, not on the processor.
THREADS = 16


@dataclass
class Budget:
    """How much this tick may still do; what does not fit is left to the next one."""

    slots: int = SLOTS_PER_TICK
    time_left: Callable[[], float] = lambda: float("inf")
    _lock: Lock = field(default_factory=Lock)

    # The rest of the function's time is for slots in flight and for sending their tokens.
    RESERVE_SECONDS = 10.0

    def spend(self) -> bool:
        with self._lock:
            if self.slots <= 0 or self.time_left() < self.RESERVE_SECONDS:
                return False
            self.slots -= 1
            return True


@dataclass(frozen=True)
class Fired:
    """What a tick did: tasks looked at, and slots that became jobs to be run."""

    tasks: int
    slots: int


def tick(*, now: datetime, time_left: Callable[[], float] = lambda: float("inf")) -> Fired:
    """Plan every slot due before `now` plus the horizon.

    A task whose record cannot be planned must not keep the others from firing: raises FiringIncomplete at the end.
    """
    budget, begun = Budget(time_left=time_left), clock.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        shards = pool.map(lambda shard: list(tasks.due_ids(shard, before=now + HORIZON)), range(tasks.DUE_SHARDS))
        due = tasks.get_many(task_id for ids in shards for task_id in ids)
        planned = list(pool.map(lambda task: _plan_safely(task, now=now, budget=budget), due))
        to_send = [job for found in planned if found is not None for job in found]
        # Planning may have taken seconds: tokens are held back from the moment they are sent.
        sent_at = now + timedelta(seconds=clock.monotonic() - begun)
        list(pool.map(lambda batch: _send(batch, now=sent_at), _batches(to_send)))
    fired = Fired(len(due), len(to_send))
    if due:
        event("tick", tasks=fired.tasks, slots=fired.slots)
    unplanned = planned.count(None)
    if unplanned:
        raise FiringIncomplete(f"{unplanned} of {len(due)} due tasks cannot be planned; the log names them.")
    return fired


def _plan_safely(task: TaskRecord, *, now: datetime, budget: Budget) -> list[JobRecord] | None:
    try:
        return plan(task, now=now, budget=budget)
    except (ValueError, CarillonError) as error:
        event("task cannot be planned", level="ERROR", task_id=task.task_id, error=str(error))
        return None


def plan_now(task: TaskRecord, *, now: datetime, until: datetime | None = None) -> None:
    """Plan a task just saved, so that a slot nearer than the next tick is not late; or about to be edited, so that
    what was due before the edit is recorded as it was defined then."""
    if task.next_fire_at is not None and task.next_fire_at < (until or now + HORIZON):
        for batch in _batches(plan(task, now=now, budget=Budget(), until=until)):
            _send(batch, now=now)


def plan(task: TaskRecord, *, now: datetime, budget: Budget, until: datetime | None = None) -> list[JobRecord]:
    """Record the task's slots before `until` (else the horizon), oldest first; return the jobs to send tokens for.

    Tokens go out after the task has moved on: should the process die in between, the job's lease runs out and `sweep`
    sends its token. A job put by an earlier, interrupted try gets its token again; a spare token does no harm.
    """
    to_send: list[JobRecord] = []
    unrun: JobRecord | None = None
    if task.tzdata_version != TZDATA_VERSION and not _replan_for_new_zone_data(task):
        return to_send
    for _ in range(SLOTS_PER_TASK):
        at = task.next_fire_at
        if at is None or at >= (until or now + HORIZON) or not budget.spend():
            break
        slot = scheduling_slots.apply_misfire(task, at, now=now)
        job = scheduling_slots.job_of_slot(task, slot, now=now)
        # A slot from before the last edit stays as it was recorded, and so does one that is not run.
        if jobs.insert(job) or (at > task.updated_at and scheduling_slots.is_open(job) and jobs.replan(job)):
            if scheduling_slots.is_open(job):
                to_send.append(job)
            else:
                unrun = job
            event("slot planned", task_id=task.task_id, job_id=job.job_id, slot=at, status=job.status)
        if not _advance(task, slot, job):
            break
    if unrun is not None:
        tasks.note_latest(task.task_id, job_id=unrun.job_id, status=unrun.status, at=now)
    return [job for job in to_send if job.not_before - now <= LONGEST_DELAY]


def _advance(task: TaskRecord, slot: scheduling_slots.Slot, job: JobRecord) -> bool:
    missed_since = None
    if slot.verdict is Verdict.MISSED:
        missed_since = task.missed_since or job.window_start
    return tasks.advance(
        task,
        next_fire_at=slot.following,
        previous_fire_at=slot.at,
        missed_since=missed_since,
        tzdata_version=TZDATA_VERSION,
    )


def _replan_for_new_zone_data(task: TaskRecord) -> bool:
    """The slot at hand was computed with other time-zone data; False when nothing is due by today's data."""
    known = max(task.previous_fire_at or task.updated_at, task.updated_at)
    following = scheduling_slots.following(task, known)
    due = task.next_fire_at
    if following is None or task.schedule["type"] in ("now", "once", "interval") or following == due:
        return True
    event("slot moved by new time-zone data", task_id=task.task_id, was=due, now=following)
    return tasks.advance(
        task,
        next_fire_at=following,
        previous_fire_at=task.previous_fire_at or known,
        missed_since=task.missed_since,
        tzdata_version=TZDATA_VERSION,
    )


def _batches(planned: list[JobRecord]) -> list[list[JobRecord]]:
    return [planned[at : at + sqs.BATCH] for at in range(0, len(planned), sqs.BATCH)]


def _send(batch: list[JobRecord], *, now: datetime) -> None:
    sqs.send([(sqs.Token(job.pool, job.job_id), job.not_before) for job in batch], now=now)
