"""The list of tasks, filtered and sorted in memory: definitions are few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chalicelib.core.instants import FAR_FUTURE
from chalicelib.core.lifecycle import JobStatus
from chalicelib.core.schedules.words import describe
from chalicelib.errors import Invalid
from chalicelib.paging import DEFAULT_PAGE_SIZE, Page, check, cut
from chalicelib.scheduling import slots
from chalicelib.store import tasks
from chalicelib.store.catalogue import source_names
from chalicelib.store.task_record import TaskRecord

_NEVER = datetime.min.replace(tzinfo=FAR_FUTURE.tzinfo)
Key = Callable[[TaskRecord, datetime], Any]
# Column -> what the list sorts by, at an instant. A leading `-` in the request reverses the order.
SORTS: dict[str, Key] = {
    "name": lambda task, now: task.name.casefold(),
    "kind": lambda task, now: task.kind,
    "information": lambda task, now: describe(task.schedule, "en").casefold(),
    "latest_status": lambda task, now: task.latest_status or "",
    "latest_at": lambda task, now: task.latest_at or _NEVER,
    "next_fire_at": lambda task, now: next_shown(task, now=now) or FAR_FUTURE,
    "creator": lambda task, now: task.creator.casefold(),
    "created_at": lambda task, now: task.created_at,
    "description": lambda task, now: task.description.casefold(),
    "enabled": lambda task, now: task.enabled,
    "group": lambda task, now: task.group.casefold(),
    "schedule": lambda task, now: str(task.schedule.get("type")),
    "priority": lambda task, now: task.priority,
    "note": lambda task, now: task.note.casefold(),
    "updated_at": lambda task, now: task.updated_at,
    "source_id": lambda task, now: task.source_id or "",
}
# A column of another table, whose values are read for all tasks at once.
SOURCE_NAME = "source_name"
COLUMNS = (*SORTS, SOURCE_NAME)
# Columns that the listing index lacks: what firing changes, and what lists are seldom sorted by.
NOT_INDEXED = frozenset(
    {"next_fire_at", "latest_status", "latest_at", "priority", "note", "updated_at", "source_id", SOURCE_NAME}
)


def next_shown(task: TaskRecord, *, now: datetime) -> datetime | None:
    """The next execution as people see it: the planned one, unless the plan has moved ahead or lags behind."""
    planned, previous = task.next_fire_at, task.previous_fire_at
    if task.enabled and planned is not None and planned > now and (previous is None or previous <= now):
        return planned
    return slots.next_execution(task, now=now)


@dataclass(frozen=True)
class TaskFilter:
    """What a list asks for; None asks for all. `search` is a part of the name, in any case of letters."""

    search: str | None = None
    kind: str | None = None
    group: str | None = None
    creator: str | None = None
    enabled: bool | None = None
    latest_status: str | None = None

    def matches(self, task: TaskRecord) -> bool:
        return (self.search is None or self.search.casefold() in task.name.casefold()) and all(
            wanted is None or getattr(task, name) == wanted for name, wanted in vars(self).items() if name != "search"
        )


def listing(
    wanted: TaskFilter, *, now: datetime, sort: str | None = None, page: int = 1, page_size: int = DEFAULT_PAGE_SIZE
) -> Page:
    """Tasks that match; newest first unless sorted by one of COLUMNS, with a leading `-` descending."""
    check(page, page_size)
    column = (sort or "-created_at").lstrip("-")
    if column not in COLUMNS:
        raise Invalid(f"sort must be one of {', '.join(COLUMNS)}, with a leading - for descending.", field="sort")
    if wanted.latest_status is not None and wanted.latest_status not in frozenset(JobStatus):
        raise Invalid(f"latest_status must be one of {', '.join(JobStatus)}.", field="latest_status")
    whole = column in NOT_INDEXED or wanted.latest_status is not None
    found = [task for task in (tasks.everything() if whole else tasks.listed()) if wanted.matches(task)]
    # Two sorts, so that equal keys come in the order of their ids, either way.
    found.sort(key=lambda task: task.task_id, reverse=True)
    found.sort(key=_key(column, found, now=now), reverse=(sort or "-").startswith("-"))
    shown = cut(found, page=page, page_size=page_size)
    if whole:
        return shown
    rows = {task.task_id: task for task in tasks.get_many(task.task_id for task in shown.items)}
    return replace(shown, items=[rows[task.task_id] for task in shown.items if task.task_id in rows])


def _key(column: str, found: Sequence[TaskRecord], *, now: datetime) -> Callable[[TaskRecord], Any]:
    if column != SOURCE_NAME:
        return lambda task: SORTS[column](task, now)
    names = source_names(task.source_id for task in found)
    return lambda task: names.get(str(task.source_id), "").casefold()
