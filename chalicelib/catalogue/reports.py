"""Reports: making, reading, replacing and deleting named queries on a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.catalogue import records
from chalicelib.errors import FieldProblem, Invalid, QueryFailed, SourceNotFound
from chalicelib.sources.parameters import GIVEN
from chalicelib.sources.registry import dialect_of
from chalicelib.sources.sql import Statement, parse_reading
from chalicelib.store import catalogue as store
from chalicelib.store import tasks
from chalicelib.store.catalogue import ReportRecord
from chalicelib.store.revisions import again_when_overtaken

FIELDS = ("name", "description", "source_id", "queries", "parameters")
Approve = Callable[[str, Mapping[str, Any]], None]


def create(body: Mapping[str, Any], *, actor: Actor, now: datetime, key: str | None = None) -> ReportRecord:
    """`body`: name, description, source_id, queries, parameters. Made once per `key` and `now`."""
    check(body)
    return records.create(ReportRecord, body, actor=actor, now=now, key=key)


def replace(
    report_id: str,
    body: Mapping[str, Any],
    *,
    revision: int | None,
    actor: Actor,
    now: datetime,
    approve: Approve | None = None,
) -> ReportRecord:
    """`approve` gets the id and the checked body before it is written, and may raise."""
    report = records.current(ReportRecord, report_id, revision)
    check(body)
    records.require_room_for(report, body)
    if approve is not None:
        approve(report_id, body)
    before, source_id = audit.snapshot(report), report.source_id
    store.overwrite(report, {**body, "updated_at": now}, revision=int(report.revision))
    if report.source_id != source_id:
        for task in tasks.whose_spec_names(report_id):
            tasks.set_source(task.task_id, report.source_id)
    records.record_change(actor, "update", report, before=before, after=audit.snapshot(report), now=now)
    return report


@again_when_overtaken
def patch(
    report_id: str,
    changes: Mapping[str, Any],
    *,
    revision: int | None,
    actor: Actor,
    now: datetime,
    approve: Approve | None = None,
) -> ReportRecord:
    """Change the named fields and leave the others; a list is replaced whole."""
    report = records.current(ReportRecord, report_id, revision)
    body = records.merged(report, FIELDS, changes)
    return replace(report_id, body, revision=int(report.revision), actor=actor, now=now, approve=approve)


@again_when_overtaken
def delete(report_id: str, *, revision: int | None, actor: Actor, now: datetime) -> None:
    """Refused while a task uses the report."""
    report = records.current(ReportRecord, report_id, revision)
    records.refuse_if_used("tasks", [task.name for task in tasks.whose_spec_names(report_id)])
    records.delete(report, actor=actor, now=now)


def check(body: Mapping[str, Any]) -> None:
    """Refuse an unknown source, names that come twice, queries that cannot be read, and undeclared parameters."""
    try:
        source = store.get_source(body["source_id"])
    except SourceNotFound:
        raise Invalid(f"There is no source {body['source_id']}.", field="source_id") from None
    problems = [*_repeated_names("queries", body["queries"]), *_repeated_names("parameters", body["parameters"])]
    declared = {parameter["name"] for parameter in body["parameters"]}
    for number, parameter in enumerate(body["parameters"]):
        if parameter["name"] in GIVEN:
            problems.append(FieldProblem(f"parameters.{number}.name", f"Every job gives {parameter['name']} itself."))
    for number, query in enumerate(body["queries"]):
        field = f"queries.{number}.sql"
        try:
            statement: Statement = parse_reading(query["sql"], dialect_of(source.kind), query["name"])
        except QueryFailed as error:
            problems.append(FieldProblem(field, error.message))
            continue
        for name in sorted(statement.parameters - declared - GIVEN):
            problems.append(FieldProblem(field, f"The parameter :{name} is not declared in parameters."))
    if problems:
        raise Invalid(problems[0].message, problems=problems)


def _repeated_names(field: str, items: list[dict[str, Any]]) -> list[FieldProblem]:
    names = [item["name"] for item in items]
    return [
        FieldProblem(f"{field}.{number}.name", f"The name {name!r} comes twice.")
        for number, name in enumerate(names)
        if name in names[:number]
    ]
