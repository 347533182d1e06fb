"""From a task and a slot to the job that records it: the job freezes all it will need, computed from the slot alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any

from chalicelib import log, metrics, retention
from chalicelib.core.ids import job_id_of_slot, timeline_bucket, timeline_key
from chalicelib.core.lifecycle import OPEN, JobStatus, Reason, Trigger
from chalicelib.core.misfire import Misfire, Verdict, decide
from chalicelib.core.queue_keys import ready_key
from chalicelib.core.rank import rank
from chalicelib.core.schedules.business_days import Calendar
from chalicelib.core.schedules.fires import fires_after, runs_on, upcoming
from chalicelib.core.schedules.jitter import jitter
from chalicelib.core.schedules.window import resolve, window_is_empty
from chalicelib.core.schedules.window_begin import first_begin
from chalicelib.core.schedules.written_date import written_date
from chalicelib.errors import RecordTooLarge
from chalicelib.log import event
from chalicelib.queue.leases import lease_until, token_lease
from chalicelib.scheduling.calendars import calendar_of
from chalicelib.settings import settings
from chalicelib.store import jobs
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import IN_JOB, TaskRecord

TOO_LARGE = "The task is too large: the record of a job does not hold its spec and parameters. Shorten them."
# Slots looked at, behind one that was missed, for others that would have run: those of two days, one a minute.
MOST_LOOKED_AT = 2_880
SINCE_PREVIOUS_FIRE = "since_previous_fire"


@dataclass(frozen=True)
class Slot:
    """One planned fire time, what the misfire policy says of it, and the task's slot after it."""

    at: datetime
    verdict: Verdict
    following: datetime | None
    # On a day off that the schedule skips.
    day_off: bool = False


def zone_of(task: TaskRecord) -> str:
    return str(task.schedule.get("timezone") or "UTC")


def next_slot(task: TaskRecord, *, after: datetime) -> datetime | None:
    """The task's next slot after an instant, days off included; None when the schedule is over."""
    fires = upcoming(task.schedule, after=after, count=1, calendar=calendar_of(task.schedule), with_skipped=True)
    return fires[0] if fires else None


def next_execution(task: TaskRecord, *, now: datetime) -> datetime | None:
    """The next slot as people see it: it may be planned already, and `next_fire_at` be the one after it."""
    coming = task.next_fire_at is not None or (task.previous_fire_at is not None and task.previous_fire_at > now)
    if not (task.enabled and coming):
        return None
    fires = upcoming(task.schedule, after=now, count=1, calendar=calendar_of(task.schedule))
    return fires[0] if fires else task.next_fire_at


def apply_misfire(task: TaskRecord, slot: datetime, *, now: datetime) -> Slot:
    """Decide by the task's misfire policy whether the slot still runs.

    The policy chooses among the slots that would have run: none on a day off, and none whose window is empty. (Where
    the slot that runs takes over the windows of missed ones, its own may be empty.)
    """
    misfire, calendar = Misfire.accept(task.misfire), calendar_of(task.schedule)

    def later(count: int) -> Sequence[datetime]:
        fires = islice(fires_after(task.schedule, after=slot, calendar=calendar), MOST_LOOKED_AT)
        missed = takewhile(lambda fire: misfire.missed(fire, now), fires)
        return list(islice((fire for fire in missed if misfire.union or _has_data(task, fire, calendar)), count))

    # A `once` in the past that was asked to run nevertheless is due when it was asked.
    due = max(slot, task.updated_at) if is_asked_late(task, slot) else slot
    verdict = decide(misfire, slot=due, now=now, later=later)
    day_off = not runs_on(task.schedule, slot, calendar=calendar)
    return Slot(slot, verdict, next_slot(task, after=slot), day_off)


def is_asked_late(task: TaskRecord, slot: datetime) -> bool:
    """Whether the slot had passed already when the task was saved with it (`run_if_past`)."""
    return bool(task.schedule["type"] == "once" and slot < task.updated_at)


def _has_data(task: TaskRecord, fire: datetime, calendar: Calendar | None) -> bool:
    """Whether the window of a later slot is not empty; one that begins at the slot before never is."""
    if task.window is None or task.window["type"] == SINCE_PREVIOUS_FIRE:
        return True
    return not is_empty(task, window_of(task, fire, previous=None, calendar=calendar))


def window_of(
    task: TaskRecord, at: datetime, *, previous: datetime | None, calendar: Calendar | None = None
) -> tuple[datetime, datetime] | None:
    """The data range of a slot. `previous`: where one `since_previous_fire` begins; None stands for the first slot."""
    if task.window is None:
        return None
    if previous is None:
        previous = first_begin(task.schedule, made_at=task.created_at)
    day = written_date(task.schedule, at, calendar=calendar)
    return resolve(task.window, scheduled_for=at, timezone=zone_of(task), previous=previous, written_on=day)


def job_of_slot(task: TaskRecord, slot: Slot, *, now: datetime) -> JobRecord:
    """The slot's job: it waits for its time, or has ended already with the reason why the slot is not run."""
    window = window_of(task, slot.at, previous=task.previous_fire_at, calendar=calendar_of(task.schedule))
    runs = not slot.day_off and slot.verdict is not Verdict.MISSED
    if runs and window is not None and task.missed_since is not None and Misfire.accept(task.misfire).union:
        window = min(task.missed_since, window[0]), window[1]
    job = build_job(
        task,
        job_id=job_id_of_slot(task.task_id, slot.at),
        trigger=Trigger.SCHEDULE,
        scheduled_for=slot.at,
        window=window,
        parameters={},
        operator=None,
        now=now,
    )
    if slot.day_off:
        return record_not_run(job, JobStatus.SKIPPED, Reason.NON_BUSINESS_DAY, now=now)
    if is_empty(task, window):
        return record_not_run(job, JobStatus.SKIPPED, Reason.EMPTY_WINDOW, now=now)
    if slot.verdict is Verdict.MISSED:
        return record_not_run(job, JobStatus.MISSED, Reason.MISFIRE, now=now)
    job.late = slot.verdict is Verdict.RUN_LATE
    seconds = int(task.schedule.get("jitter_seconds") or 0)
    if seconds:
        _delay(job, jitter(task.task_id, slot.at, slot.following, seconds), now=now)
    return job


def _delay(job: JobRecord, seconds: float, *, now: datetime) -> None:
    """Let the job, which is not in the table yet, start so much after its slot."""
    job.not_before = job.scheduled_for + timedelta(seconds=seconds)
    job.ready_pool = ready_key(job.pool, job.not_before, now=now)
    job.lease_until = lease_until(job, token_lease(job.not_before, now=now))


def build_job(
    task: TaskRecord,
    *,
    job_id: str,
    trigger: Trigger,
    scheduled_for: datetime,
    window: tuple[datetime, datetime] | None,
    parameters: dict[str, Any],
    operator: str | None,
    now: datetime,
) -> JobRecord:
    """A waiting job of the task. It may be claimed from `scheduled_for` on, or at once when that is past."""
    of_slot = trigger is Trigger.SCHEDULE
    not_before = scheduled_for if of_slot else min(scheduled_for, now)
    # Asked to run late it is not late: its waiting begins when it was asked.
    enqueued_at = now if not of_slot or is_asked_late(task, scheduled_for) else scheduled_for
    job = JobRecord(
        job_id=job_id,
        month=timeline_key(timeline_bucket(job_id, now), job_id, settings().timeline_shards),
        task_id=task.task_id,
        task_name=task.name,
        task_revision=task.revision,
        **{name: getattr(task, name) for name in IN_JOB},
        group=task.group or None,
        creator=task.creator,
        parameters={**(task.parameters or {}), **parameters},
        timezone=zone_of(task),
        window_start=window[0] if window else None,
        window_end=window[1] if window else None,
        follows_previous=(of_slot and (task.window or {}).get("type") == SINCE_PREVIOUS_FIRE) or None,
        scheduled_for=scheduled_for,
        created_at=now,
        trigger=trigger,
        operator=operator,
        correlation_id=log.correlation_id(),
        status=JobStatus.WAITING,
        enqueued_at=enqueued_at,
        not_before=not_before,
        rank=rank(enqueued_at, int(task.priority)),
        ready_pool=ready_key(task.pool, not_before, now=now),
        lease_shard=jobs.lease_shard(job_id),
        active_task=task.task_id,
    )
    job.lease_until = lease_until(job, token_lease(not_before, now=now))
    return job


def is_empty(task: TaskRecord, window: tuple[datetime, datetime] | None) -> bool:
    """Whether the slot's window is empty and the task does not allow that."""
    return window is not None and window_is_empty(*window) and not (task.window or {}).get("allow_empty")


def record_not_run(job: JobRecord, status: JobStatus, reason: Reason, *, now: datetime) -> JobRecord:
    """End the job, which is not in the table yet: it records a slot that is not run."""
    job.status, job.reason, job.ended_at = status, reason, now
    job.expires_at = retention.expires_at(job.kind, now)
    job.lease_shard = job.lease_until = job.active_task = job.ready_pool = None
    return job


def is_open(job: JobRecord) -> bool:
    return job.status in OPEN


def record(job: JobRecord, *, task: TaskRecord) -> bool:
    """Put the slot's job; False when the slot has its job already, and that stays.

    A job recorded by an earlier revision of the task is replaced, unless its slot is from before the last edit, or is
    missed now, or the job has been admitted.
    """
    try:
        recorded = _put(job, task=task)
    except RecordTooLarge:
        # A task of before there was a byte budget: its slots are recorded, and do not run.
        job.spec, job.parameters, job.description, job.error = {}, {}, "", TOO_LARGE
        record_not_run(job, JobStatus.FAILED, Reason.UNCLAIMABLE, now=job.created_at)
        recorded = _put(job, task=task)
    if not recorded:
        return False
    event("slot planned", task_id=task.task_id, job_id=job.job_id, slot=job.scheduled_for, status=job.status)
    if not is_open(job):
        metrics.job_ended(job.kind, job.status, job_id=job.job_id)
    return True


def _put(job: JobRecord, *, task: TaskRecord) -> bool:
    replaces = job.scheduled_for > task.updated_at and job.status in (JobStatus.WAITING, JobStatus.SKIPPED)
    return jobs.insert(job) or (replaces and jobs.replan(job))


def missed_since(task: TaskRecord, slot: Slot, job: JobRecord) -> datetime | None:
    """Where the windows missed in a row begin, this slot included; None once a slot runs, and without `union`."""
    if is_open(job) or not Misfire.accept(task.misfire).union:
        return None
    return task.missed_since or (job.window_start if job.status is JobStatus.MISSED else None)
