"""Reports, sources and calendars: what tasks refer to. Small tables that people edit, so lists read them whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute

from chalicelib.errors import NotFound, ReportNotFound, SourceNotFound, StaleRevision
from chalicelib.store.base import (
    DocumentAttribute,
    InstantAttribute,
    Record,
    deleted,
    read_many,
    saved,
    set_or_remove,
    table_name,
    written,
)
from chalicelib.store.together import read_together


class ReportRecord(Record):
    """`queries` is `[{"name", "sql", "key": [column, …] | null}]`; `parameters` is `[{"name", "type", "default"}]`."""

    class Meta:
        table_name = table_name("reports")

    report_id = UnicodeAttribute(hash_key=True)
    name = UnicodeAttribute()
    description = UnicodeAttribute(default="")
    source_id = UnicodeAttribute()
    queries = DocumentAttribute()
    parameters = DocumentAttribute(default=list)
    creator = UnicodeAttribute()
    # Grows by one with every edit; the ETag.
    revision = NumberAttribute(default=1)
    created_at = InstantAttribute()
    updated_at = InstantAttribute()


class SourceRecord(Record):
    """A connection. Its password is in Secrets Manager only, under `aws.secrets.source_name(source_id)`."""

    class Meta:
        table_name = table_name("sources")

    source_id = UnicodeAttribute(hash_key=True)
    name = UnicodeAttribute()
    description = UnicodeAttribute(default="")
    kind = UnicodeAttribute()
    settings = DocumentAttribute()
    has_secret = BooleanAttribute(default=False)
    # Which version of the secret goes with these settings: written with them, so that no other password ever reaches
    # their address. Absent where there is none, and for a password that earlier code stored.
    secret_version = UnicodeAttribute(null=True)
    # How many jobs may work on it at once; absent: any number.
    max_concurrency = NumberAttribute(null=True)
    creator = UnicodeAttribute()
    revision = NumberAttribute(default=1)
    created_at = InstantAttribute()
    updated_at = InstantAttribute()


class CalendarRecord(Record):
    """`days` maps a date to `workday` or `off`; without ends it covers the whole years of its days."""

    class Meta:
        table_name = table_name("calendars")

    calendar_id = UnicodeAttribute(hash_key=True)
    name = UnicodeAttribute()
    description = UnicodeAttribute(default="")
    country = UnicodeAttribute(null=True)
    covers_from = UnicodeAttribute(null=True)
    covers_to = UnicodeAttribute(null=True)
    days = DocumentAttribute()
    creator = UnicodeAttribute()
    revision = NumberAttribute(default=1)
    created_at = InstantAttribute()
    updated_at = InstantAttribute()


R = TypeVar("R", ReportRecord, SourceRecord, CalendarRecord)
Model = type[ReportRecord] | type[SourceRecord] | type[CalendarRecord]
_KEYS: dict[Model, str] = {ReportRecord: "report_id", SourceRecord: "source_id", CalendarRecord: "calendar_id"}
_MISSING: dict[Model, type[NotFound]] = {
    ReportRecord: ReportNotFound,
    SourceRecord: SourceNotFound,
    CalendarRecord: NotFound,
}


def get_report(report_id: str) -> ReportRecord:
    return get(ReportRecord, report_id)


def get_source(source_id: str) -> SourceRecord:
    return get(SourceRecord, source_id)


def find_report_and_source(report_id: str, source_id: str) -> tuple[ReportRecord | None, SourceRecord | None]:
    """In one call; None for one that does not exist."""
    found = read_together({ReportRecord: [report_id], SourceRecord: [source_id]})
    return next(iter(found[ReportRecord]), None), next(iter(found[SourceRecord]), None)


def get_calendar(calendar_id: str) -> CalendarRecord:
    return get(CalendarRecord, calendar_id)


def get(model: type[R], record_id: str) -> R:
    try:
        return model.get(record_id, consistent_read=True)
    except model.DoesNotExist:
        raise _MISSING[model]() from None


def source_names(source_ids: Iterable[str | None]) -> dict[str, str]:
    """Source id -> name, of those that exist among these; one read for a hundred of them."""
    wanted = {str(each) for each in source_ids if each}
    return {str(each.source_id): each.name for each in read_many(SourceRecord, wanted, only=["source_id", "name"])}


def everything(model: type[R]) -> list[R]:
    """All records of one of these tables, newest first."""
    return sorted(model.scan(consistent_read=True), key=id_of, reverse=True)


def insert(record: ReportRecord | SourceRecord | CalendarRecord) -> bool:
    """Put a new record; False when its id is there already, as it is when a request is repeated."""
    return saved(record, type(record).revision.does_not_exist())


def overwrite(record: R, changes: dict[str, Any], *, revision: int) -> R:
    """The record with the changes, one revision on. Raises StaleRevision, or NotFound when it was deleted meanwhile."""
    model = type(record)
    actions: list[Any] = [model.revision.set(revision + 1)]
    for name, value in changes.items():
        actions.append(set_or_remove(getattr(model, name), value))
    if not written(record, actions, model.revision == revision):
        get(model, id_of(record))
        raise StaleRevision
    return record


def remove(record: R, *, revision: int) -> None:
    model = type(record)
    if not deleted(record, model.revision == revision):
        get(model, id_of(record))
        raise StaleRevision


def id_of(record: ReportRecord | SourceRecord | CalendarRecord) -> str:
    return str(getattr(record, _KEYS[type(record)]))


def reports_of_source(source_id: str) -> list[ReportRecord]:
    return list(ReportRecord.scan(ReportRecord.source_id == source_id, consistent_read=True))
