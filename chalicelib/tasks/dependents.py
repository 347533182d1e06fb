"""Tasks that name a record which is about to be edited: would their jobs still run?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.errors import BreaksTasks, FieldProblem, Invalid
from chalicelib.kinds.registry import KINDS, kind_of
from chalicelib.store import tasks as store
from chalicelib.store.task_record import TaskRecord


def refuse_if_broken(record_id: str, candidate: Mapping[str, Any]) -> None:
    """Raise BreaksTasks, naming each task whose jobs run with the record as it is and would fail with `candidate`."""
    broken = [
        FieldProblem(f"tasks.{task.task_id}", f"{task.name!r}: {reason}")
        for task in sorted(store.whose_spec_names(record_id), key=lambda task: str(task.task_id))
        if (reason := _reason(task, candidate)) and not _reason(task, None)
    ]
    if broken:
        count = "1 task" if len(broken) == 1 else f"{len(broken)} tasks"
        raise BreaksTasks(f"Jobs of {count} would fail: edit the tasks first, or send force=true.", problems=broken)


def _reason(task: TaskRecord, candidate: Mapping[str, Any] | None) -> str | None:
    """Why jobs of the task would fail, with the candidate in the place of its record; None when they would not."""
    if task.kind not in KINDS:
        return None
    try:
        kind_of(task.kind).check_parameters(
            task.spec,
            task.parameters or {},
            has_window=task.window is not None,
            complete=bool(task.enabled),
            candidate=candidate,
        )
    except Invalid as error:
        return error.message
    return None
