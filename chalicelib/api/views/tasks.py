"""Tasks: definitions, starting one now, and pausing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chalicelib.api.models.base import Listing
from chalicelib.api.models.jobs import JobOut
from chalicelib.api.models.tasks import NoteIn, RunIn, TaskIn, TaskOut, TaskPatch, TaskQuery, TaskRow, TaskSaved
from chalicelib.api.operation import Call, operation
from chalicelib.api.shown import Shown, with_source_names
from chalicelib.errors import InvalidSchedule, TaskNotFound
from chalicelib.jobs import detail as job_detail
from chalicelib.scheduling import slots
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import editing as task_editing
from chalicelib.tasks import listing as task_listing
from chalicelib.tasks import starts


def _shown(task: TaskRecord, call: Call) -> Shown:
    return _all_shown([task], call)[0]


def _all_shown(tasks: Sequence[TaskRecord], call: Call) -> list[Shown]:
    """Tasks with the names of their sources, and the next execution, which the plan may have moved past."""
    named = with_source_names(tasks)
    return [Shown(each, {"next_fire_at": slots.next_execution(each.record, now=call.now)}) for each in named]


def _saved(task: TaskRecord, call: Call) -> Shown:
    """A task that was saved, with the job that this started."""
    return Shown(_shown(task, call), {"job_id": starts.started_by_save(task)})


@operation("GET", "/tasks", query=TaskQuery, answer=Listing[TaskRow], summary="List tasks")
def list_tasks(call: Call) -> Any:
    asked = call.query.model_dump()
    order = {name: asked.pop(name) for name in ("sort", "page", "page_size")}
    page = task_listing.listing(task_listing.TaskFilter(**asked), now=call.now, **order)
    return replace(page, items=_all_shown(page.items, call))


@operation(
    "POST",
    "/tasks",
    body=TaskIn,
    answer=TaskSaved,
    status=201,
    revised=True,
    id_field="task_id",
    errors=(InvalidSchedule,),
    summary="Make a task; an enabled `now` task starts at once",
)
def create_task(call: Call) -> Any:
    return _saved(task_editing.create(call.body.model_dump(), actor=call.actor, now=call.now, key=call.key), call)


@operation("GET", "/tasks/{task_id}", answer=TaskOut, revised=True, errors=(TaskNotFound,), summary="Read a task")
def get_task(call: Call, task_id: str) -> Any:
    return _shown(task_editing.get(task_id), call)


@operation(
    "PUT",
    "/tasks/{task_id}",
    body=TaskIn,
    answer=TaskSaved,
    revised=True,
    errors=(TaskNotFound, InvalidSchedule),
    summary="Replace a task's definition; jobs planned and not yet due are planned anew",
)
def replace_task(call: Call, task_id: str) -> Any:
    body = call.body.model_dump()
    return _saved(task_editing.replace(task_id, body, revision=call.revision, actor=call.actor, now=call.now), call)


@operation(
    "PATCH",
    "/tasks/{task_id}",
    body=TaskPatch,
    answer=TaskSaved,
    revised=True,
    errors=(TaskNotFound, InvalidSchedule),
    summary="Change the named fields of a task",
)
def patch_task(call: Call, task_id: str) -> Any:
    changes = call.body.model_dump(exclude_unset=True)
    return _saved(task_editing.patch(task_id, changes, revision=call.revision, actor=call.actor, now=call.now), call)


@operation(
    "DELETE",
    "/tasks/{task_id}",
    revised=True,
    errors=(TaskNotFound,),
    summary="Delete a task; its jobs stay, and those that wait or run come to their proper end",
)
def delete_task(call: Call, task_id: str) -> Any:
    return task_editing.delete(task_id, revision=call.revision, actor=call.actor, now=call.now)


@operation(
    "POST",
    "/tasks/{task_id}/run",
    body=RunIn,
    answer=JobOut,
    status=201,
    errors=(TaskNotFound,),
    summary="Start a job of the task now, or with the window of a past slot",
)
def run_task(call: Call, task_id: str) -> Any:
    job = starts.run(
        task_id,
        parameters=call.body.parameters,
        scheduled_for=call.body.scheduled_for,
        actor=call.actor,
        now=call.now,
        key=call.key,
    )
    return job_detail.columns_of(job)


@operation(
    "POST",
    "/tasks/{task_id}/enable",
    body=NoteIn,
    answer=TaskSaved,
    errors=(TaskNotFound,),
    summary="Let a task's schedule fire again, from now on",
)
def enable_task(call: Call, task_id: str) -> Any:
    return _saved(task_editing.enable(task_id, note=call.body.note, actor=call.actor, now=call.now), call)


@operation(
    "POST",
    "/tasks/{task_id}/disable",
    body=NoteIn,
    answer=TaskOut,
    errors=(TaskNotFound,),
    summary="Stop a task's schedule; what waits or runs goes on",
)
def disable_task(call: Call, task_id: str) -> Any:
    return _shown(task_editing.disable(task_id, note=call.body.note, actor=call.actor, now=call.now), call)
