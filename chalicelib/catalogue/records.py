"""What reports, sources and calendars share: their lists, revisions, the refusal to delete what is used, the audit."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.errors import StaleRevision, StillReferenced
from chalicelib.paging import Page, cut
from chalicelib.store import catalogue as store
from chalicelib.store.catalogue import CalendarRecord, ReportRecord, SourceRecord
from chalicelib.store.tasks import TaskRecord

R = TypeVar("R", ReportRecord, SourceRecord, CalendarRecord)

# Names shown when a record is still in use; the rest is counted.
NAMED = 3


def listing(model: type[R], *, search: str | None, page: int, page_size: int) -> Page:
    """Records whose name holds `search`, whatever its case, newest first."""
    found = [record for record in store.everything(model) if not search or search.casefold() in record.name.casefold()]
    return cut(found, page=page, page_size=page_size)


def current(model: type[R], record_id: str, revision: int | None) -> R:
    record = store.get(model, record_id)
    if revision is not None and revision != record.revision:
        raise StaleRevision(f"The record was edited since: its revision is {int(record.revision)}, not {revision}.")
    return record


def task_names_with(record_id: str) -> list[str]:
    return [task.name for task in tasks_with(record_id)]


def tasks_with(record_id: str) -> list[TaskRecord]:
    """The tasks whose spec names the record. Ids are unique, so wherever one stands it means that record."""
    return list(TaskRecord.scan(TaskRecord.spec.contains(record_id), consistent_read=True))


def refuse_if_used(what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise StillReferenced(f"Still used by {what}: {', '.join(names[:NAMED])}{more}.")


def record_change(
    actor: Actor,
    action: str,
    record: ReportRecord | SourceRecord | CalendarRecord,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    now: datetime,
) -> None:
    kind = {ReportRecord: "report", SourceRecord: "source", CalendarRecord: "calendar"}[type(record)]
    audit.record(actor, action, kind, store.id_of(record), before=before, after=after, now=now)
