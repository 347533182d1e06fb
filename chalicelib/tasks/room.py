"""Whether a task and its jobs fit their records, with room for all that their lives add (store/record_sizes.py)."""

from __future__ import annotations

from datetime import datetime

from chalicelib.core.facets import folded
from chalicelib.core.ids import ulid
from chalicelib.core.lifecycle import Trigger
from chalicelib.scheduling import slots
from chalicelib.store import jobs, record_sizes
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import GIVEN, TaskRecord


def require_room(task: TaskRecord, *, now: datetime) -> None:
    """Raise RecordTooLarge, which names the field, when the task or a job of it would be too large."""
    record_sizes.require_room(task, fields=GIVEN)
    job = slots.build_job(
        task,
        job_id=ulid(now),
        trigger=Trigger.SCHEDULE,
        scheduled_for=now,
        window=(now, now),
        parameters={},
        operator=None,
        now=now,
    )
    require_room_for_job(job, started_with=False)


def require_room_for_job(job: JobRecord, *, started_with: bool) -> None:
    """The same for a job that is not in the table yet; `started_with` parameters of its own, these are the field."""
    job.facets, job.search_name = jobs.facets(job, job.status, job.reason), folded(job.task_name)
    record_sizes.require_room(job, fields=("parameters",) if started_with else GIVEN)
