"""Tasks: definitions, starting one now, and pausing it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chalicelib.api.models.base import Listing
from chalicelib.api.models.jobs import JobOut
from chalicelib.api.models.tasks import NoteIn, RunIn, TaskIn, TaskOut, TaskPatch, TaskQuery, TaskRow
from chalicelib.api.operation import Call, operation
from chalicelib.errors import InvalidSchedule, TaskNotFound
from chalicelib.jobs import detail as job_detail
from chalicelib.scheduling import slots
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import editing as task_editing
from chalicelib.tasks import listing as task_listing
from chalicelib.tasks import starts


@dataclass(frozen=True)
class ShownTask:
    """A task as people see it: its record, but for the next execution, which the plan may have moved past."""

    record: TaskRecord
    next_fire_at: datetime | None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.record, name)


def _shown(task: TaskRecord, call: Call) -> ShownTask:
    return ShownTask(task, slots.next_execution(task, now=call.now))


@operation("GET", "/tasks", query=TaskQuery, answer=Listing[TaskRow], summary="List tasks")
def list_tasks(call: Call) -> Any:
    asked = call.query.model_dump()
    order = {name: asked.pop(name) for name in ("sort", "page", "page_size")}
    page = task_listing.listing(task_listing.TaskFilter(**asked), now=call.now, **order)
    return replace(page, items=[_shown(task, call) for task in page.items])


@operation(
    "POST",
    "/tasks",
    body=TaskIn,
    answer=TaskOut,
    status=201,
    revised=True,
    id_field="task_id",
    errors=(InvalidSchedule,),
    summary="Make a task; an enabled `now` task starts at once",
)
def create_task(call: Call) -> Any:
    return _shown(task_editing.create(call.body.model_dump(), actor=call.actor, now=call.now, key=call.key), call)


@operation("GET", "/tasks/{task_id}", answer=TaskOut, revised=True, errors=(TaskNotFound,), summary="Read a task")
def get_task(call: Call, task_id: str) -> Any:
    return _shown(task_editing.get(task_id), call)


@operation(
    "PUT",
    "/tasks/{task_id}",
    body=TaskIn,
    answer=TaskOut,
    revised=True,
    errors=(TaskNotFound, InvalidSchedule),
    summary="Replace a task's definition; jobs planned and not yet due are planned anew",
)
def replace_task(call: Call, task_id: str) -> Any:
    body = call.body.model_dump()
    return _shown(task_editing.replace(task_id, body, revision=call.revision, actor=call.actor, now=call.now), call)


@operation(
    "PATCH",
    "/tasks/{task_id}",
    body=TaskPatch,
    answer=TaskOut,
    revised=True,
    errors=(TaskNotFound, InvalidSchedule),
    summary="Change the named fields of a task",
)
def patch_task(call: Call, task_id: str) -> Any:
    changes = call.body.model_dump(exclude_unset=True)
    return _shown(task_editing.patch(task_id, changes, revision=call.revision, actor=call.actor, now=call.now), call)


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
    answer=TaskOut,
    errors=(TaskNotFound,),
    summary="Let a task's schedule fire again, from now on",
)
def enable_task(call: Call, task_id: str) -> Any:
    return _shown(task_editing.enable(task_id, note=call.body.note, actor=call.actor, now=call.now), call)


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
