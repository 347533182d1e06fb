"""Reports: named queries on a source, and previews of their first rows."""

from __future__ import annotations

from typing import Any

from chalicelib.api.models.base import Listing
from chalicelib.api.models.catalogue import ReportIn, ReportOut, ReportPreview, ReportPreviewIn, SearchQuery
from chalicelib.api.operation import Call, operation
from chalicelib.catalogue import previews, records, reports
from chalicelib.errors import (
    ConnectionDropped,
    QueryFailed,
    ReportNotFound,
    SourceNotFound,
    SourceRefused,
    SourceUnreachable,
    StatementTimedOut,
    StillReferenced,
)
from chalicelib.store.catalogue import ReportRecord, get_report


@operation("GET", "/reports", query=SearchQuery, answer=Listing[ReportOut], summary="List reports")
def list_reports(call: Call) -> Any:
    return records.listing(ReportRecord, search=call.query.search, page=call.query.page, page_size=call.query.page_size)


@operation(
    "POST",
    "/reports",
    body=ReportIn,
    answer=ReportOut,
    status=201,
    revised=True,
    id_field="report_id",
    summary="Make a report",
)
def create_report(call: Call) -> Any:
    return reports.create(call.body.model_dump(), actor=call.actor, now=call.now, key=call.key)


@operation(
    "GET", "/reports/{report_id}", answer=ReportOut, revised=True, errors=(ReportNotFound,), summary="Read a report"
)
def get_one_report(call: Call, report_id: str) -> Any:
    return get_report(report_id)


@operation(
    "PUT",
    "/reports/{report_id}",
    body=ReportIn,
    answer=ReportOut,
    revised=True,
    errors=(ReportNotFound,),
    summary="Replace a report",
)
def replace_report(call: Call, report_id: str) -> Any:
    body = call.body.model_dump()
    return reports.replace(report_id, body, revision=call.revision, actor=call.actor, now=call.now)


@operation(
    "DELETE",
    "/reports/{report_id}",
    revised=True,
    errors=(ReportNotFound, StillReferenced),
    summary="Delete a report",
)
def delete_report(call: Call, report_id: str) -> Any:
    return reports.delete(report_id, revision=call.revision, actor=call.actor, now=call.now)


@operation(
    "POST",
    "/reports/{report_id}/preview",
    body=ReportPreviewIn,
    answer=ReportPreview,
    errors=(
        ReportNotFound,
        SourceNotFound,
        SourceUnreachable,
        SourceRefused,
        ConnectionDropped,
        QueryFailed,
        StatementTimedOut,
    ),
    keep_answer=False,
    summary="The first rows of one of a report's queries",
)
def preview_report(call: Call, report_id: str) -> Any:
    return previews.preview_report(
        report_id,
        query=call.body.query,
        parameters=call.body.parameters,
        limit=call.body.limit,
        window=call.body.window,
        scheduled_for=call.body.scheduled_for or call.now,
        timezone=call.body.timezone,
    )
