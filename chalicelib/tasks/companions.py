"""What is written beside a task's record: one row of COMPANIONS for each, with a hook for each step of a change.

The record's own write stands in the middle: before it the rows are walked from the last to the first, after it from the
first to the last, so that the row that begins first ends last. That is the task's own rule: its watch is kept before
anything is written, and the rule, which EventBridge may refuse and the sweep then repairs, is put after everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.aws import rules
from chalicelib.core.facets import folded
from chalicelib.core.lifecycle import Trigger
from chalicelib.errors import Unavailable
from chalicelib.log import event
from chalicelib.queue import completion, concurrency
from chalicelib.retention import longest_life
from chalicelib.scheduling import tick
from chalicelib.store import job_updates, jobs, task_names
from chalicelib.store import tasks as store
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import rule_sync

RULE_NOT_PUT = "Its rule is not as the task says: "


@dataclass(frozen=True)
class Change:
    """One change of a task's record. `before` is None for a new task, `after` for one that is deleted."""

    before: TaskRecord | None
    after: TaskRecord | None
    # As the audit names it.
    action: str
    actor: Actor
    now: datetime
    # Why jobs planned by the old definition are cancelled.
    reason: str = ""
    # Brings the task's own rule in step with the edited task.
    follow_rule: Callable[[TaskRecord], object] = rule_sync.sync

    @property
    def task(self) -> TaskRecord:
        """The task as it is after the change, or as it was deleted."""
        task = self.after or self.before
        assert task is not None
        return task

    @property
    def task_id(self) -> str:
        return str(self.task.task_id)

    @property
    def concerns_a_rule(self) -> bool:
        return any(task is not None and rule_sync.has_rule(task) for task in (self.before, self.after))


Hook = Callable[[Change], None]


def _nothing(change: Change) -> None:
    return


@dataclass(frozen=True)
class Companion:
    before_save: Hook = _nothing
    # Directly after a new task's record: without it there is no task. Raises Unavailable; the record is taken back.
    confirm_new: Hook = _nothing
    after_create: Hook = _nothing
    after_edit: Hook = _nothing
    before_delete: Hook = _nothing
    after_delete: Hook = _nothing


# --- jobs planned by the old definition -------------------------------------------------------------------------------


def _withdraw_planned(change: Change) -> None:
    """Cancel the jobs of slots still to come; `_plan` plans again those that stay in the schedule.

    A slot that came while the edit was written has begun by the old definition: the windows go on from there.
    """
    for job in _of_slots(change.task_id):
        withdrawn = job.scheduled_for <= change.now or completion.withdraw(job, change.reason, now=change.now)
        if not withdrawn and change.after is not None and _has_begun(job):
            store.note_fire(change.after, at=job.scheduled_for, missed_since=None)


def _keep_due(change: Change) -> None:
    """Planned jobs that are due run although their task is deleted."""
    for job in _of_slots(change.task_id):
        if job.scheduled_for <= change.now and not job.admitted:
            job_updates.outlive_task(job)


def _of_slots(task_id: str) -> list[JobRecord]:
    """The open jobs of the task's schedule."""
    return [job for job in jobs.get_many(jobs.open_ids_of_task(task_id)) if job.trigger == Trigger.SCHEDULE]


def _has_begun(job: JobRecord) -> bool:
    there = jobs.find(job.job_id)
    return there is not None and (there.admitted or there.run_no > 0)


# --- its concurrency limit --------------------------------------------------------------------------------------------


def _register_limit(change: Change) -> None:
    if _limit(change.before) != _limit(change.after):
        concurrency.before_save(concurrency.of_task(change.task_id), _limit(change.after))


def _apply_limit(change: Change) -> None:
    limit = concurrency.of_task(change.task_id)
    concurrency.after_save(limit, before=_limit(change.before), after=_limit(change.after), now=change.now)


def _remove_limit(change: Change) -> None:
    concurrency.after_delete(concurrency.of_task(change.task_id), before=_limit(change.before), now=change.now)


def _limit(task: TaskRecord | None) -> float | None:
    return None if task is None else task.max_concurrency


# --- the audit --------------------------------------------------------------------------------------------------------


def _record_change(change: Change) -> None:
    before, after = (None if task is None else audit.snapshot(task) for task in (change.before, change.after))
    audit.record(change.actor, change.action, "task", change.task_id, before=before, after=after, now=change.now)


# --- its next slots ---------------------------------------------------------------------------------------------------


def _plan(change: Change) -> None:
    tick.plan_now(change.task, now=change.now)


# --- its name in the registry that searches begin at ------------------------------------------------------------------


def _register_name(change: Change) -> None:
    if change.after is not None and _is_renamed(change):
        revision = 1 if change.before is None else int(change.before.revision) + 1
        task_names.register(change.task_id, change.after.name, revision=revision)


def _release_name(change: Change) -> None:
    if change.before is not None and _is_renamed(change):
        task_names.release(
            change.task_id,
            change.before.name,
            revision=int(change.before.revision),
            now=change.now,
            expires_at=change.now + longest_life(),
        )


def _is_renamed(change: Change) -> bool:
    before, after = (None if task is None else folded(task.name) for task in (change.before, change.after))
    return before != after


# --- its own EventBridge rule -----------------------------------------------------------------------------------------


def _watch_rule(change: Change) -> None:
    if change.concerns_a_rule:
        rule_sync.watch_rule(change.task_id, now=change.now)


def _put_first_rule(change: Change) -> None:
    if change.concerns_a_rule:
        rule_sync.sync(change.task)


def _sync_rule(change: Change) -> None:
    if not change.concerns_a_rule:
        return
    try:
        change.follow_rule(change.task)
    except Unavailable as error:
        store.note(change.task, f"{RULE_NOT_PUT}{error.message} It is tried again every ten minutes.")
        raise


def _delete_rule(change: Change) -> None:
    if not change.concerns_a_rule:
        return
    try:
        rules.delete(change.task_id)
    except Unavailable as error:
        event("rule left to the sweep", level="WARN", task_id=change.task_id, error=error.message)


# In the order of the hooks that run after the record's write; those before it run in the opposite order.
COMPANIONS = (
    Companion(after_edit=_withdraw_planned, before_delete=_keep_due, after_delete=_withdraw_planned),
    Companion(before_save=_register_limit, after_edit=_apply_limit, after_delete=_remove_limit),
    Companion(after_create=_record_change, after_edit=_record_change, after_delete=_record_change),
    Companion(after_create=_plan, after_edit=_plan),
    Companion(before_save=_register_name, after_edit=_release_name, after_delete=_release_name),
    Companion(
        before_save=_watch_rule,
        confirm_new=_put_first_rule,
        after_edit=_sync_rule,
        before_delete=_watch_rule,
        after_delete=_delete_rule,
    ),
)
