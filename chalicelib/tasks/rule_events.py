"""Slots that a task's own EventBridge rule reports.

The rule's event stands for the slot at its minute, and the slot's job has the id that `tick` would give it: an event
delivered twice, or a task that changes its trigger, never makes two jobs of one slot. EventBridge fires up to a minute
late and never early, so nothing is planned ahead here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice, takewhile
from typing import Any

from chalicelib.core.instants import rfc3339, utc
from chalicelib.core.schedules.fires import fires_after, latest_fire
from chalicelib.errors import Unavailable
from chalicelib.log import event
from chalicelib.queue import leases
from chalicelib.scheduling import slots
from chalicelib.store import jobs
from chalicelib.store import tasks as store
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import rule_drift, rule_sync
from chalicelib.tasks.rule_drift import Drift

# Slots recorded at once that EventBridge did not report: after a long outage of its own.
SLOTS_AT_ONCE = 200


def fire(task_id: str, reported: datetime, *, now: datetime) -> JobRecord | None:
    """Record the slot that an event reports, and those before it that no event reported; None when it is no slot."""
    at = utc(min(reported, now)).replace(second=0, microsecond=0)
    task = store.find(task_id)
    if task is None:
        _ignored(task_id, at, "there is no such task")
        return None
    before_the_edit = at <= task.updated_at
    task, drift = _reconciled(task, now=now)
    if not before_the_edit and not _is_slot(task, at, drift):
        _ignored(task_id, at, "the task was edited, and its rule has not followed yet")
        return None
    if drift is Drift.IN_SYNC:
        _record_unreported(task, before=at, now=now)
    return _record(task, at, now=now)


def before_edit(task: TaskRecord, *, now: datetime) -> TaskRecord:
    """The task as it is to be edited: an edit in the console is adopted, and its due slots are recorded as defined."""
    task, drift = rule_drift.reconcile(task, now=now)
    if drift is Drift.IN_SYNC and task.enabled:
        _record_unreported(task, before=now, now=now)
    return task


def _reconciled(task: TaskRecord, *, now: datetime) -> tuple[TaskRecord, Drift]:
    """Compare task and rule. A rule that cannot be read keeps no slot from being fired."""
    if not rule_sync.has_rule(task):
        return task, Drift.STALE
    try:
        return rule_drift.reconcile(task, now=now)
    except Unavailable as error:
        event("rule cannot be read", level="WARN", task_id=task.task_id, error=error.message)
        return task, Drift.STALE


def _is_slot(task: TaskRecord, at: datetime, drift: Drift) -> bool:
    """Whether a reported time is a slot of the task as it is now; its rule may have been slow to follow the task."""
    if drift is Drift.ADOPTED:
        # The rule as edited in the console fired before the edit was known here.
        return True
    if not (task.enabled and rule_sync.has_rule(task)):
        return False
    if drift is not Drift.STALE or task.schedule["type"] == "interval":
        return True
    return latest_fire(task.schedule, at_or_before=at) == at


def _record_unreported(task: TaskRecord, *, before: datetime, now: datetime) -> None:
    """Record, as of now, the slots that EventBridge has not reported, so that the job list misses no slot.

    Only a cron expression gives its slots by itself; a rate's depend on when the rule was made.
    """
    if task.schedule["type"] == "interval" or not task.enabled:
        return
    for at in islice(takewhile(lambda slot: slot < before, _after_known(task)), SLOTS_AT_ONCE):
        _record(task, at, now=now)


def _after_known(task: TaskRecord) -> Iterator[datetime]:
    known = max(task.previous_fire_at or task.updated_at, task.updated_at)
    return fires_after(task.schedule, after=known)


def _record(task: TaskRecord, at: datetime, *, now: datetime) -> JobRecord:
    planned_by = _as_reported(task, at)
    slot = slots.apply_misfire(planned_by, at, now=now)
    job = slots.job_of_slot(planned_by, slot, now=now)
    missed_since = slots.missed_since(task, slot, job)
    if slots.record(job, task=task):
        if slots.is_open(job):
            leases.send_token(job, now=now)
        else:
            store.note_latest(task.task_id, job_id=job.job_id, status=job.status, at=now)
    else:
        job = jobs.get(job.job_id)
    store.note_fire(task, at=at, missed_since=missed_since)
    return job


def _as_reported(task: TaskRecord, at: datetime) -> TaskRecord:
    """The task as the slot of a rule's event is planned by."""
    changes: dict[str, Any] = {}
    if task.schedule["type"] == "interval":
        # Counted from this slot, as EventBridge does; the schedule's own anchor says nothing about the rule.
        changes["schedule"] = {**task.schedule, "anchor": rfc3339(at)}
    if task.previous_fire_at is not None and task.previous_fire_at > at:
        # Reported late: the slot after it covers what lies between already.
        changes["previous_fire_at"] = at
    return store.changed(task, **changes)


def _ignored(task_id: str, at: datetime, why: str) -> None:
    event("rule's event ignored", level="WARN", task_id=task_id, slot=at, why=why)
