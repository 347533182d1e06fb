"""Saving an edited task: the record, the slots planned by its old definition, the audit, the rule, the new plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.core.facets import folded
from chalicelib.core.lifecycle import JobStatus, Reason, Trigger
from chalicelib.errors import Unavailable
from chalicelib.log import event
from chalicelib.queue import completion, concurrency
from chalicelib.retention import longest_life
from chalicelib.scheduling import tick
from chalicelib.store import jobs, task_names
from chalicelib.store import tasks as store
from chalicelib.store.job_record import JobRecord
from chalicelib.store.tasks import TaskRecord
from chalicelib.tasks import rule_sync, validation

EDITED = "The task was edited before the slot."
DISABLED = "The task was disabled before the slot."
DELETED = "The task was deleted before the slot."
NOT_PUT = "Its rule is not as the task says: "


def save(
    task: TaskRecord,
    columns: Mapping[str, Any],
    action: str,
    why: str,
    *,
    actor: Actor,
    now: datetime,
    follow: Callable[[TaskRecord], object] = rule_sync.sync,
) -> TaskRecord:
    """Give a task new values. Raises StaleRevision when it was edited since it was read.

    `follow` brings the task's own rule in step, where it has or had one.
    """
    before, revision = audit.snapshot(task), int(task.revision)
    newly_now = columns.get("schedule", task.schedule)["type"] == "now" and task.schedule["type"] != "now"
    never_fired = task.previous_fire_at is None
    former, ruled = str(task.name), rule_sync.has_rule(task)
    limit, most = concurrency.of_task(task.task_id), task.max_concurrency
    for name, value in columns.items():
        setattr(task, name, value)
    ruled = ruled or rule_sync.has_rule(task)
    task.updated_at = now
    validation.plan(task, now=now, fire_now=newly_now or never_fired)
    if ruled:
        rule_sync.watch_rule(task.task_id, now=now)
    renamed = folded(task.name) != folded(former)
    if renamed:
        task_names.register(task.task_id, task.name, revision=revision + 1)
    if task.max_concurrency != most:
        concurrency.before_save(limit, task.max_concurrency)
    store.overwrite(task, expected_revision=revision)
    withdraw(task.task_id, why, now=now)
    concurrency.after_save(limit, before=most, after=task.max_concurrency, now=now)
    audit.record(actor, action, "task", task.task_id, before=before, after=audit.snapshot(task), now=now)
    event("task saved", action=action, task_id=task.task_id, revision=int(task.revision))
    tick.plan_now(task, now=now)
    if renamed:
        task_names.release(task.task_id, former, revision=revision, now=now, expires_at=now + longest_life())
    if ruled:
        _sync_rule(task, follow)
    return task


def withdraw(task_id: str, why: str, *, now: datetime) -> None:
    """Cancel a task's jobs that are planned and not yet due; `plan_now` plans again those that stay in the schedule."""
    for job in planned(task_id):
        if job.not_before > now:
            completion.end_without_run(job, JobStatus.CANCELED, Reason.BY_POLICY, why, now=now, only_planned=True)


def planned(task_id: str) -> list[JobRecord]:
    """The task's jobs of its schedule that have not been let into the line."""
    found = jobs.get_many(jobs.open_ids_of_task(task_id))
    return [job for job in found if job.trigger == Trigger.SCHEDULE and not job.admitted]


def _sync_rule(task: TaskRecord, follow: Callable[[TaskRecord], object]) -> None:
    try:
        follow(task)
    except Unavailable as error:
        store.note(task, f"{NOT_PUT}{error.message} It is tried again every ten minutes.")
        raise
