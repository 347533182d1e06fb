"""What tasks refer to: reports, sources, calendars. Making, reading, replacing and deleting them.

A source's password takes one way only: in, to Secrets Manager. The record says no more than that there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.aws import secrets
from chalicelib.core.ids import ulid
from chalicelib.core.schedules.business_days import Calendar
from chalicelib.errors import FieldProblem, Invalid, QueryFailed, SourceNotFound, StaleRevision, StillReferenced
from chalicelib.paging import Page, cut
from chalicelib.queue import concurrency
from chalicelib.settings import settings
from chalicelib.sources.parameters import GIVEN
from chalicelib.sources.registry import check_settings
from chalicelib.sources.sql import DIALECTS, Statement, parse_reading
from chalicelib.store import catalogue as store
from chalicelib.store import tasks
from chalicelib.store.catalogue import CalendarRecord, ReportRecord, SourceRecord
from chalicelib.store.tasks import TaskRecord

R = TypeVar("R", ReportRecord, SourceRecord, CalendarRecord)

# Where a password is sent to: keeping the old one across a change of these would hand it to somebody else.
ADDRESS = ("host", "port", "user")
# Names shown when a record is still in use; the rest is counted.
NAMED = 3


def listing(model: type[R], *, search: str | None, page: int, page_size: int) -> Page:
    """Records whose name holds `search`, whatever its case, newest first."""
    found = [record for record in store.everything(model) if not search or search.casefold() in record.name.casefold()]
    return cut(found, page=page, page_size=page_size)


# --- sources ----------------------------------------------------------------------------------------------------------


def create_source(body: Mapping[str, Any], *, actor: Actor, now: datetime, key: str | None = None) -> SourceRecord:
    """`body`: name, description, kind, settings, password, max_concurrency.

    With the same key and now it is made once.
    """
    source = SourceRecord(
        ulid(now, None if key is None else f"source|{key}"),
        name=body["name"],
        description=body["description"],
        kind=body["kind"],
        settings=_checked_settings(body),
        has_secret=body.get("password") is not None,
        max_concurrency=body.get("max_concurrency"),
        creator=actor.name,
        created_at=now,
        updated_at=now,
    )
    concurrency.set_out(concurrency.of_source(source.source_id), source.max_concurrency)
    if not store.insert(source):
        source = store.get_source(source.source_id)
    # The record first: a record without its password can be seen and mended, a secret without its record only costs.
    if body.get("password") is not None:
        secrets.put(secrets.source_name(source.source_id), {"password": body["password"]})
    _note(actor, "create", source, before=None, after={**audit.snapshot(source), **_password(body)}, now=now)
    return source


def replace_source(
    source_id: str, body: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime
) -> SourceRecord:
    """A password that is left out stays, unless the address changes; null removes it."""
    source = _current(SourceRecord, source_id, revision)
    before, wanted = audit.snapshot(source), _checked_settings(body)
    keeps = "password" not in body
    if keeps and source.has_secret and _address(source.kind, source.settings) != _address(body["kind"], wanted):
        message = "Give the password again: it is not sent to another address than the one it was given for."
        raise Invalid(message, field="password")
    changes = {
        "name": body["name"],
        "description": body["description"],
        "kind": body["kind"],
        "settings": wanted,
        "has_secret": source.has_secret if keeps else body["password"] is not None,
        "max_concurrency": body.get("max_concurrency"),
        "updated_at": now,
    }
    limit, most = concurrency.of_source(source_id), source.max_concurrency
    concurrency.set_out(limit, changes["max_concurrency"])
    store.overwrite(source, changes, revision=int(source.revision))
    concurrency.changed(limit, before=most, after=changes["max_concurrency"], now=now)
    if not keeps:
        name = secrets.source_name(source_id)
        if body["password"] is None:
            secrets.delete(name)
        else:
            secrets.put(name, {"password": body["password"]})
    _note(actor, "update", source, before=before, after={**audit.snapshot(source), **_password(body)}, now=now)
    return source


def delete_source(source_id: str, *, revision: int | None, actor: Actor, now: datetime) -> None:
    """Remove a source and its password. Refused while a report or a task uses it."""
    source = _current(SourceRecord, source_id, revision)
    _refuse_if_used("reports", [report.name for report in store.reports_of_source(source_id)])
    _refuse_if_used("tasks", _tasks_with(source_id))
    before = audit.snapshot(source)
    # The guarded write first, so that a stale delete leaves the password; should the process die, delete it again.
    store.overwrite(source, {"has_secret": False, "updated_at": now}, revision=int(source.revision))
    secrets.delete(secrets.source_name(source_id))
    store.remove(source, revision=int(source.revision))
    concurrency.forget(concurrency.of_source(source_id), before=source.max_concurrency, now=now)
    _note(actor, "delete", source, before=before, after=None, now=now)


def _checked_settings(body: Mapping[str, Any]) -> dict[str, Any]:
    return check_settings(body["kind"], body["settings"], data_folder=settings().data_folder or None)


def _address(kind: str, given: Mapping[str, Any]) -> tuple[Any, ...]:
    return (kind, *(given.get(name) for name in ADDRESS))


def _password(body: Mapping[str, Any]) -> dict[str, Any]:
    """So that the audit shows, masked, that a password was set."""
    return {"password": "set"} if body.get("password") is not None else {}


# --- reports ----------------------------------------------------------------------------------------------------------


def create_report(body: Mapping[str, Any], *, actor: Actor, now: datetime, key: str | None = None) -> ReportRecord:
    """`body`: name, description, source_id, queries, parameters. With the same key and now it is made once."""
    check_report(body)
    report = ReportRecord(
        ulid(now, None if key is None else f"report|{key}"), creator=actor.name, created_at=now, updated_at=now, **body
    )
    if not store.insert(report):
        report = store.get_report(report.report_id)
    _note(actor, "create", report, before=None, after=audit.snapshot(report), now=now)
    return report


def replace_report(
    report_id: str, body: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime
) -> ReportRecord:
    report = _current(ReportRecord, report_id, revision)
    check_report(body)
    before, source_id = audit.snapshot(report), report.source_id
    store.overwrite(report, {**body, "updated_at": now}, revision=int(report.revision))
    if report.source_id != source_id:
        for task in _tasks_of(report_id):
            tasks.set_source(task.task_id, report.source_id)
    _note(actor, "update", report, before=before, after=audit.snapshot(report), now=now)
    return report


def delete_report(report_id: str, *, revision: int | None, actor: Actor, now: datetime) -> None:
    """Refused while a task uses the report."""
    report = _current(ReportRecord, report_id, revision)
    _refuse_if_used("tasks", _tasks_with(report_id))
    store.remove(report, revision=int(report.revision))
    _note(actor, "delete", report, before=audit.snapshot(report), after=None, now=now)


def check_report(body: Mapping[str, Any]) -> None:
    """Refuse an unknown source, names that come twice, queries that cannot be read, and parameters nobody declared."""
    try:
        source = store.get_source(body["source_id"])
    except SourceNotFound:
        raise Invalid(f"There is no source {body['source_id']}.", field="source_id") from None
    problems = [*_twice("queries", body["queries"]), *_twice("parameters", body["parameters"])]
    declared = {parameter["name"] for parameter in body["parameters"]}
    for number, parameter in enumerate(body["parameters"]):
        if parameter["name"] in GIVEN:
            problems.append(FieldProblem(f"parameters.{number}.name", f"Every job gives {parameter['name']} itself."))
    for number, query in enumerate(body["queries"]):
        field = f"queries.{number}.sql"
        try:
            statement: Statement = parse_reading(query["sql"], DIALECTS[source.kind], query["name"])
        except QueryFailed as error:
            problems.append(FieldProblem(field, error.message))
            continue
        for name in sorted(statement.parameters - declared - GIVEN):
            problems.append(FieldProblem(field, f"The parameter :{name} is not declared in parameters."))
    if problems:
        raise Invalid(problems[0].message, problems=problems)


def _twice(field: str, items: list[dict[str, Any]]) -> list[FieldProblem]:
    names = [item["name"] for item in items]
    return [
        FieldProblem(f"{field}.{number}.name", f"The name {name!r} comes twice.")
        for number, name in enumerate(names)
        if name in names[:number]
    ]


# --- calendars --------------------------------------------------------------------------------------------------------


def create_calendar(body: Mapping[str, Any], *, actor: Actor, now: datetime, key: str | None = None) -> CalendarRecord:
    """`body`: name, description, country, days, covers_from, covers_to."""
    _check_calendar(body)
    calendar = CalendarRecord(
        ulid(now, None if key is None else f"calendar|{key}"),
        creator=actor.name,
        created_at=now,
        updated_at=now,
        **body,
    )
    if not store.insert(calendar):
        calendar = store.get_calendar(calendar.calendar_id)
    _note(actor, "create", calendar, before=None, after=audit.snapshot(calendar), now=now)
    return calendar


def replace_calendar(
    calendar_id: str, body: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime
) -> CalendarRecord:
    calendar = _current(CalendarRecord, calendar_id, revision)
    _check_calendar(body)
    before = audit.snapshot(calendar)
    store.overwrite(calendar, {**body, "updated_at": now}, revision=int(calendar.revision))
    _note(actor, "update", calendar, before=before, after=audit.snapshot(calendar), now=now)
    return calendar


def delete_calendar(calendar_id: str, *, revision: int | None, actor: Actor, now: datetime) -> None:
    """Refused while a task's schedule names the calendar."""
    calendar = _current(CalendarRecord, calendar_id, revision)
    using = [task.name for task in tasks.listed() if (task.schedule or {}).get("calendar") == calendar_id]
    _refuse_if_used("tasks", using)
    store.remove(calendar, revision=int(calendar.revision))
    _note(actor, "delete", calendar, before=audit.snapshot(calendar), after=None, now=now)


def _check_calendar(body: Mapping[str, Any]) -> None:
    try:
        Calendar.accept({"days": body["days"], "first": body["covers_from"], "last": body["covers_to"]})
    except Invalid as error:
        ends = {"calendar.first": "covers_from", "calendar.last": "covers_to"}
        problems = [
            FieldProblem(ends.get(item.field, item.field.removeprefix("calendar.")), item.message)
            for item in error.problems
        ]
        raise Invalid(error.message, problems=problems) from error


# --- what all of them share -------------------------------------------------------------------------------------------


def _current(model: type[R], record_id: str, revision: int | None) -> R:
    record = store.get(model, record_id)
    if revision is not None and revision != record.revision:
        raise StaleRevision(f"The record was edited since: its revision is {int(record.revision)}, not {revision}.")
    return record


def _tasks_with(record_id: str) -> list[str]:
    return [task.name for task in _tasks_of(record_id)]


def _tasks_of(record_id: str) -> list[TaskRecord]:
    """The tasks whose spec names the record. Ids are unique, so wherever one stands it means that record."""
    return list(TaskRecord.scan(TaskRecord.spec.contains(record_id), consistent_read=True))


def _refuse_if_used(what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise StillReferenced(f"Still used by {what}: {', '.join(names[:NAMED])}{more}.")


def _note(
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
