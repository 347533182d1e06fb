"""Starting a job of a task now: by hand, or for an event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.core.ids import job_id_of_request, job_id_of_slot, ulid
from chalicelib.core.instants import floor_second
from chalicelib.core.lifecycle import JobStatus, Reason, Trigger
from chalicelib.core.schedules.window_begin import begin_by_history
from chalicelib.errors import Invalid
from chalicelib.log import event
from chalicelib.queue.leases import send_token
from chalicelib.scheduling import ahead, slots
from chalicelib.scheduling.calendars import calendar_of
from chalicelib.store import jobs
from chalicelib.store import tasks as store
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import room, validation


def run(
    task_id: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    scheduled_for: datetime | None = None,
    actor: Actor,
    now: datetime,
    key: str | None = None,
) -> JobRecord:
    """Start a job now, once per `key` and `now`. A past `scheduled_for` gives it that slot's window."""
    task = store.get(task_id)
    if scheduled_for is not None and scheduled_for > now:
        raise Invalid("scheduled_for is for past slots; a future one belongs in a schedule.", field="scheduled_for")
    validation.check_start(task, parameters or {})
    job_id = job_id_of_request(now, task_id, key) if key is not None else ulid(now)
    job = start(
        task,
        job_id=job_id,
        trigger=Trigger.MANUAL,
        parameters=dict(parameters or {}),
        scheduled_for=floor_second(scheduled_for or now),
        operator=actor.name,
        now=now,
    )
    audit.record(actor, "run", "task", task_id, before=None, after={"job_id": job.job_id}, now=now)
    return job


def start(
    task: TaskRecord,
    *,
    job_id: str,
    trigger: Trigger,
    parameters: dict[str, Any],
    scheduled_for: datetime,
    operator: str | None,
    now: datetime,
) -> JobRecord:
    """Put one job into the queue at once; the job that has this id already, if one has. Raises RecordTooLarge."""
    window = _window(task, scheduled_for)
    job = slots.build_job(
        task,
        job_id=job_id,
        trigger=trigger,
        scheduled_for=scheduled_for,
        window=window,
        parameters=parameters,
        operator=operator,
        now=now,
    )
    room.require_room_for_job(job, started_with=bool(parameters))
    if slots.is_empty(task, window):
        slots.record_not_run(job, JobStatus.SKIPPED, Reason.EMPTY_WINDOW, now=now)
    else:
        job.admitted = True
    if not jobs.insert(job):
        job = jobs.get(job_id)
    if job.status == JobStatus.WAITING:
        send_token(job, now=now)
    event("job started by request", job_id=job.job_id, task_id=task.task_id, trigger=trigger)
    return job


def started_by_save(task: TaskRecord) -> str | None:
    """The id of the job that the last save of an enabled `now` task started; None when it started none."""
    if task.schedule["type"] != "now":
        return None
    job = jobs.find(job_id_of_slot(task.task_id, floor_second(task.updated_at)))
    return None if job is None or job.task_revision != task.revision else job.job_id


def _window(task: TaskRecord, at: datetime) -> tuple[datetime, datetime] | None:
    """The window of a slot at this instant: the one that the slot's job has, where it begins at the slot before."""
    calendar, previous = calendar_of(task.schedule), None
    if task.window is not None and task.window["type"] == slots.SINCE_PREVIOUS_FIRE:
        recorded = jobs.find(job_id_of_slot(task.task_id, at))
        if recorded is not None and recorded.window_start is not None and recorded.window_end == at:
            return recorded.window_start, recorded.window_end
        known = ahead.progress_at(task, at).previous_fire_at
        previous = begin_by_history(task.schedule, at, known=known, made_at=task.created_at, calendar=calendar)
    return slots.window_of(task, at, previous=previous, calendar=calendar)
