"""The list of tasks: definitions are few, so they are filtered and sorted in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from chalicelib.core.instants import FAR_FUTURE
from chalicelib.core.lifecycle import JobStatus
from chalicelib.errors import Invalid
from chalicelib.paging import Page, check, cut
from chalicelib.store import tasks
from chalicelib.store.tasks import TaskRecord

_NEVER = datetime.min.replace(tzinfo=FAR_FUTURE.tzinfo)
# Column shown -> what it sorts by. A leading `-` in the request reverses it.
SORTS: dict[str, Callable[[TaskRecord], Any]] = {
    "name": lambda task: task.name.casefold(),
    "kind": lambda task: task.kind,
    "group": lambda task: task.group.casefold(),
    "creator": lambda task: task.creator.casefold(),
    "created_at": lambda task: task.created_at,
    "description": lambda task: task.description.casefold(),
    "enabled": lambda task: task.enabled,
    "schedule": lambda task: str(task.schedule.get("type")),
    "next_fire_at": lambda task: task.next_fire_at or FAR_FUTURE,
    "latest_status": lambda task: task.latest_status or "",
    "latest_at": lambda task: task.latest_at or _NEVER,
}
# These are on the table only: the listing index has the columns that no firing changes.
MOVING = frozenset({"next_fire_at", "latest_status", "latest_at"})


def listing(
    *,
    search: str | None = None,
    kind: str | None = None,
    group: str | None = None,
    creator: str | None = None,
    enabled: bool | None = None,
    latest_status: str | None = None,
    sort: str | None = None,
    page: int = 1,
    page_size: int = 20,
) -> Page:
    """Tasks that match all filters; `search` is part of the name, whatever its case. Newest first unless sorted."""
    check(page, page_size)
    column = (sort or "-created_at").lstrip("-")
    if column not in SORTS:
        raise Invalid(f"sort must be one of {', '.join(SORTS)}, with a leading - for descending.", field="sort")
    if latest_status is not None and latest_status not in frozenset(JobStatus):
        raise Invalid(f"latest_status must be one of {', '.join(JobStatus)}.", field="latest_status")
    whole = column in MOVING or latest_status is not None
    found = [
        task
        for task in (tasks.everything() if whole else tasks.listed())
        if (search is None or search.casefold() in task.name.casefold())
        and (kind is None or task.kind == kind)
        and (group is None or task.group == group)
        and (creator is None or task.creator == creator)
        and (enabled is None or task.enabled == enabled)
        and (latest_status is None or task.latest_status == latest_status)
    ]
    # Two sorts, so that equal keys come in the order of their ids, either way.
    found.sort(key=lambda task: task.task_id, reverse=True)
    found.sort(key=SORTS[column], reverse=(sort or "-").startswith("-"))
    cut_out = cut(found, page=page, page_size=page_size)
    if whole:
        return cut_out
    rows = {task.task_id: task for task in tasks.get_many(task.task_id for task in cut_out.items)}
    items = [rows[task.task_id] for task in cut_out.items if task.task_id in rows]
    return Page(items, page, page_size, cut_out.total)
