"""What reports, sources and calendars share: lists, revisions, the refusal to delete what is in use, the audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.core.ids import ulid
from chalicelib.errors import StaleRevision, StillReferenced
from chalicelib.paging import Page, cut
from chalicelib.store import catalogue as store
from chalicelib.store.catalogue import CalendarRecord, ReportRecord, SourceRecord
from chalicelib.store.record_sizes import require_room

R = TypeVar("R", ReportRecord, SourceRecord, CalendarRecord)
AnyRecord = ReportRecord | SourceRecord | CalendarRecord

# As the audit names them.
TYPES: dict[type[Any], str] = {ReportRecord: "report", SourceRecord: "source", CalendarRecord: "calendar"}
# Names shown when a record is still in use; the rest is counted.
NAMED = 3


def listing(model: type[R], *, search: str | None, page: int, page_size: int) -> Page:
    """Records whose name contains `search`, in any case of letters, newest first."""
    found = [record for record in store.everything(model) if not search or search.casefold() in record.name.casefold()]
    return cut(found, page=page, page_size=page_size)


def current(model: type[R], record_id: str, revision: int | None) -> R:
    """The record as it is to be changed. Raises StaleRevision when `revision` is given and is not the record's."""
    record = store.get(model, record_id)
    if revision is not None and revision != record.revision:
        raise StaleRevision(f"The record was edited since: its revision is {int(record.revision)}, not {revision}.")
    return record


def new(model: type[R], columns: Mapping[str, Any], *, actor: Actor, now: datetime, key: str | None) -> R:
    """A record that is not written yet. With the same `key` (an idempotency key) and `now` it has the same id.

    Raises RecordTooLarge, which names the field.
    """
    record_id = ulid(now, None if key is None else f"{TYPES[model]}|{key}")
    record = model(record_id, creator=actor.name, created_at=now, updated_at=now, **columns)
    require_room(record)
    return record


def require_room_for(record: R, columns: Mapping[str, Any]) -> None:
    """Raise RecordTooLarge, which names the field, when the record would be too large with these columns."""
    require_room(type(record)(**{**record.attribute_values, **columns}))


def insert(record: R) -> R:
    """The record, written; or the one that an earlier try of the same request wrote."""
    return record if store.insert(record) else store.get(type(record), store.id_of(record))


def create(model: type[R], columns: Mapping[str, Any], *, actor: Actor, now: datetime, key: str | None) -> R:
    """Write a new record that nothing else hangs on, once per `key` and `now`."""
    record = insert(new(model, columns, actor=actor, now=now, key=key))
    record_change(actor, "create", record, before=None, after=audit.snapshot(record), now=now)
    return record


def merged(record: AnyRecord, fields: Iterable[str], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a PUT that does what a PATCH asks for: the record's fields, and in their place the changes."""
    return {name: getattr(record, name) for name in fields} | dict(changes)


def delete(record: R, *, actor: Actor, now: datetime) -> None:
    """Delete a record that nothing else hangs on."""
    store.remove(record, revision=int(record.revision))
    record_change(actor, "delete", record, before=audit.snapshot(record), after=None, now=now)


def refuse_if_used(what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise StillReferenced(f"Still used by {what}: {', '.join(names[:NAMED])}{more}.")


def record_change(
    actor: Actor,
    action: str,
    record: AnyRecord,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    now: datetime,
) -> None:
    audit.record(actor, action, TYPES[type(record)], store.id_of(record), before=before, after=after, now=now)
