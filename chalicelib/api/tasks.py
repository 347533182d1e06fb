"""Tasks: definitions, starting one now, and pausing it."""

from __future__ import annotations

from typing import Any

from chalicelib import tasks
from chalicelib.api.models.base import Listing
from chalicelib.api.models.jobs import JobOut
from chalicelib.api.models.tasks import NoteIn, RunIn, TaskIn, TaskOut, TaskPatch, TaskQuery, TaskRow
from chalicelib.api.operation import Call, operation
from chalicelib.errors import InvalidSchedule, TaskNotFound


@operation("GET", "/tasks", query=TaskQuery, answer=Listing[TaskRow], summary="List tasks")
def list_tasks(call: Call) -> Any:
    return tasks.listing(**call.query.model_dump())


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
    return tasks.create(call.body.model_dump(), actor=call.actor, now=call.now, key=call.key)


@operation("GET", "/tasks/{task_id}", answer=TaskOut, revised=True, errors=(TaskNotFound,), summary="Read a task")
def get_task(call: Call, task_id: str) -> Any:
    return tasks.get(task_id)


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
    return tasks.replace(task_id, call.body.model_dump(), revision=call.revision, actor=call.actor, now=call.now)


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
    return tasks.patch(task_id, changes, revision=call.revision, actor=call.actor, now=call.now)


@operation(
    "DELETE",
    "/tasks/{task_id}",
    revised=True,
    errors=(TaskNotFound,),
    summary="Delete a task; its jobs stay, and those that wait or run come to their proper end",
)
def delete_task(call: Call, task_id: str) -> Any:
    return tasks.delete(task_id, revision=call.revision, actor=call.actor, now=call.now)


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
    return tasks.run(
        task_id,
        parameters=call.body.parameters,
        scheduled_for=call.body.scheduled_for,
        actor=call.actor,
        now=call.now,
        key=call.key,
    )


@operation(
    "POST",
    "/tasks/{task_id}/enable",
    body=NoteIn,
    answer=TaskOut,
    errors=(TaskNotFound,),
    summary="Let a task's schedule fire again, from now on",
)
def enable_task(call: Call, task_id: str) -> Any:
    return tasks.enable(task_id, note=call.body.note, actor=call.actor, now=call.now)


@operation(
    "POST",
    "/tasks/{task_id}/disable",
    body=NoteIn,
    answer=TaskOut,
    errors=(TaskNotFound,),
    summary="Stop a task's schedule; what waits or runs goes on",
)
def disable_task(call: Call, task_id: str) -> Any:
    return tasks.disable(task_id, note=call.body.note, actor=call.actor, now=call.now)
