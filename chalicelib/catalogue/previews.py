"""Queries of a source while a person waits: a test of the connection, and the first rows of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from chalicelib import clock
from chalicelib.aws import secrets
from chalicelib.core.local_time import zone
from chalicelib.core.schedules.window import accept_window, resolve, window_parameters
from chalicelib.errors import FieldProblem, Invalid, ParametersRefused, QueryFailed, RunError, StatementTimedOut
from chalicelib.settings import settings
from chalicelib.sources.parameters import Parameter, resolve_parameters
from chalicelib.sources.preview_limits import VALUE_CHARACTERS
from chalicelib.sources.protocol import Query, Source
from chalicelib.sources.registry import open_source
from chalicelib.store import catalogue as store
from chalicelib.store.catalogue import ReportRecord, SourceRecord

# API Gateway gives up after 29 s; connecting takes a part of that.
PATIENCE_SECONDS = 15


def test_source(source_id: str) -> dict[str, Any]:
    """What the source says of itself. Raises its RunError when it does not answer."""
    started = clock.monotonic()
    with opened(store.get_source(source_id)) as source:
        info = source.test()
    return {
        "reachable": True,
        "product": info.product,
        "version": info.version,
        "user": info.user,
        "read_only": info.read_only,
        "tls": info.tls,
        "powers": info.powers,
        "warnings": info.warnings,
        "milliseconds": _since(started),
    }


def preview_report(
    report_id: str,
    *,
    query: str | None,
    parameters: Mapping[str, Any],
    limit: int,
    window: Mapping[str, Any] | None,
    scheduled_for: datetime,
    timezone: str,
) -> dict[str, Any]:
    """The first rows of one of the report's queries, as a job for that slot would see them."""
    report = store.get_report(report_id)
    number, chosen = _query(report, query)
    zone(timezone, field="timezone")
    bounds: tuple[datetime | None, datetime | None] = (None, None)
    if window is not None:
        form = accept_window(window, schedule_type="cron", timezone=timezone)
        bounds = resolve(form, scheduled_for=scheduled_for, timezone=timezone)
    slot = window_parameters(bounds[0], bounds[1], scheduled_for, timezone)
    try:
        values = resolve_parameters([Parameter.model_validate(each) for each in report.parameters], parameters, slot)
    except ParametersRefused as error:
        raise Invalid(error.message, problems=list(error.problems)) from error
    started = clock.monotonic()
    try:
        with opened(store.get_source(report.source_id)) as source:
            found = source.preview(Query(chosen["name"], chosen["sql"], values), limit)
    except (QueryFailed, StatementTimedOut) as error:
        if not error.problems:
            error.problems.append(FieldProblem(f"queries.{number}.sql", error.message))
        raise
    return {
        "query": chosen["name"],
        "columns": [column.as_dict() for column in found.columns],
        "rows": [[_shown(value) for value in row] for row in found.rows],
        "more": found.more,
        "window_start": bounds[0],
        "window_end": bounds[1],
        "milliseconds": _since(started),
    }


@contextmanager
def opened(record: SourceRecord) -> Iterator[Source]:
    """A connection to the record's source. Raises RunError, also for settings that were accepted once."""
    name = secrets.source_name(record.source_id)
    secret = secrets.get(name, record.secret_version).get("password") if record.has_secret else None
    folder = settings().data_folder or None
    try:
        with open_source(
            record.kind, record.settings, secret, statement_timeout_seconds=PATIENCE_SECONDS, data_folder=folder
        ) as source:
            yield source
    except Invalid as error:
        # The settings were accepted once; since then the file that they name, or the stage, has changed.
        raise RunError(error.message, problems=list(error.problems)) from error


def _query(report: ReportRecord, name: str | None) -> tuple[int, dict[str, Any]]:
    for number, query in enumerate(report.queries):
        if name is None or query["name"] == name:
            return number, query
    raise Invalid(f"The report has no query {name!r}.", field="query")


def _shown(value: str | None) -> str | None:
    """The value, or the beginning of one that the source cut."""
    return value if value is None or len(value) <= VALUE_CHARACTERS else value[:VALUE_CHARACTERS] + "…"


def _since(started: float) -> int:
    return round((clock.monotonic() - started) * 1000)
