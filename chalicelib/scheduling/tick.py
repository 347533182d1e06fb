"""Firing: from due tasks to one job per slot, also after a crash at any step.

Per slot, `plan` puts the job under the id that the slot gives it and moves the task past the slot; then the job's token
is sent. Each step may be repeated: a second put is refused, the task moves once, and a spare token does no harm.
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
from chalicelib.errors import CarillonError, FiringIncomplete
from chalicelib.log import event
from chalicelib.queue.leases import LONGEST_DELAY
from chalicelib.scheduling.slots import Slot, apply_misfire, is_open, job_of_slot, missed_since, next_slot, record
from chalicelib.store import tasks
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord

# Ticks come a minute apart, give or take ten seconds, and take a moment: each plans this far ahead.
HORIZON = timedelta(seconds=90)
# Slots planned in one tick: of one task, so that after an outage a frequent task does not starve the others; of all.
SLOTS_PER_TASK = 200
SLOTS_PER_TICK = 5_000
# Firing waits on DynamoDB, not on the processor.
THREADS = 16


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
    """What a tick did: how many tasks were due, and for how many slots it sent a token."""

    tasks: int
    slots: int


def tick(*, now: datetime, time_left: Callable[[], float] = lambda: float("inf")) -> Fired:
    """Plan every slot due before `now` plus the horizon, and send the tokens of its jobs.

    A task that cannot be planned does not keep the others from firing: FiringIncomplete is raised at the end.
    """
    budget, begun = Budget(time_left=time_left), clock.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        shards = pool.map(lambda shard: list(tasks.due_ids(shard, before=now + HORIZON)), range(tasks.DUE_SHARDS))
        due = tasks.get_many(task_id for ids in shards for task_id in ids)
        planned = list(pool.map(lambda task: _plan_or_log(task, now=now, budget=budget), due))
        to_send = [job for found in planned if found is not None for job in found]
        # Planning may have taken seconds, and SQS delays a token from the moment it is sent.
        sent_at = now + timedelta(seconds=clock.monotonic() - begun)
        list(pool.map(lambda batch: _send_tokens(batch, now=sent_at), _batches(to_send)))
    fired = Fired(len(due), len(to_send))
    if due:
        event("tick", tasks=fired.tasks, slots=fired.slots)
    unplanned = planned.count(None)
    if unplanned:
        raise FiringIncomplete(f"{unplanned} of {len(due)} due tasks cannot be planned; the log names them.")
    return fired


def _plan_or_log(task: TaskRecord, *, now: datetime, budget: Budget) -> list[JobRecord] | None:
    """None for a task that cannot be planned."""
    try:
        return plan(task, now=now, budget=budget)
    except (ValueError, CarillonError) as error:
        event("task cannot be planned", level="ERROR", task_id=task.task_id, error=str(error))
        return None


def plan_now(task: TaskRecord, *, now: datetime, until: datetime | None = None) -> None:
    """Plan one task at once. After a save: a slot may come before the next tick. Before an edit, `until` the edit: the
    slots due by then are recorded as they were defined.
    """
    if task.next_fire_at is not None and task.next_fire_at < (until or now + HORIZON):
        for batch in _batches(plan(task, now=now, budget=Budget(), until=until)):
            _send_tokens(batch, now=now)


def plan(task: TaskRecord, *, now: datetime, budget: Budget, until: datetime | None = None) -> list[JobRecord]:
    """Record the task's slots before `until` (else the horizon), oldest first; return the jobs to send tokens for.

    The caller sends them: should the process die before that, the job's lease expires and `sweep` sends its token.
    """
    if task.tzdata_version != TZDATA_VERSION and not _replan_for_new_zone_data(task):
        return []
    recorded: list[JobRecord] = []
    for _ in range(SLOTS_PER_TASK):
        at = task.next_fire_at
        if at is None or at >= (until or now + HORIZON) or not budget.spend():
            break
        slot = apply_misfire(task, at, now=now)
        job = job_of_slot(task, slot, now=now)
        if record(job, task=task):
            recorded.append(job)
        if not _advance(task, slot, job):
            break
    not_run = [job for job in recorded if not is_open(job)]
    if not_run:
        tasks.note_latest(task.task_id, job_id=not_run[-1].job_id, status=not_run[-1].status, at=now)
    return [job for job in recorded if is_open(job) and job.not_before - now <= LONGEST_DELAY]


def _advance(task: TaskRecord, slot: Slot, job: JobRecord) -> bool:
    """Move the task past the slot; False when another caller did, or the task was edited."""
    return tasks.advance(
        task,
        next_fire_at=slot.following,
        previous_fire_at=slot.at,
        missed_since=missed_since(task, slot, job),
        tzdata_version=TZDATA_VERSION,
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
        previous_fire_at=task.previous_fire_at or known,
        missed_since=task.missed_since,
        tzdata_version=TZDATA_VERSION,
    )


def _batches(planned: list[JobRecord]) -> list[list[JobRecord]]:
    return [planned[at : at + sqs.BATCH] for at in range(0, len(planned), sqs.BATCH)]


def _send_tokens(batch: list[JobRecord], *, now: datetime) -> None:
    sqs.send([(sqs.Token(job.pool, job.job_id), job.not_before) for job in batch], now=now)
