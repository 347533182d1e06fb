"""Reports: named queries on a source, and previews of their first rows."""

from __future__ import annotations

from typing import Any

from chalicelib.api.models.base import Listing
from chalicelib.api.models.catalogue import (
    ForceQuery,
    ReportIn,
    ReportOut,
    ReportPatch,
    ReportPreview,
    ReportPreviewIn,
    SearchQuery,
)
from chalicelib.api.operation import Call, operation
from chalicelib.api.shown import Shown, page_with_source_names, with_source_names
from chalicelib.catalogue import previews, records, reports
from chalicelib.errors import (
    AddressRefused,
    BreaksTasks,
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
from chalicelib.tasks import dependents


@operation("GET", "/reports", query=SearchQuery, answer=Listing[ReportOut], summary="List reports")
def list_reports(call: Call) -> Any:
    found = records.listing(
        ReportRecord, search=call.query.search, page=call.query.page, page_size=call.query.page_size
    )
    return page_with_source_names(found)


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
    return _shown(reports.create(call.body.model_dump(), actor=call.actor, now=call.now, key=call.key))


@operation(
    "GET", "/reports/{report_id}", answer=ReportOut, revised=True, errors=(ReportNotFound,), summary="Read a report"
)
def get_one_report(call: Call, report_id: str) -> Any:
    return _shown(get_report(report_id))


@operation(
    "PUT",
    "/reports/{report_id}",
    body=ReportIn,
    query=ForceQuery,
    answer=ReportOut,
    revised=True,
    errors=(ReportNotFound, BreaksTasks),
    summary="Replace a report; refused where jobs of a task that uses it would fail, unless forced",
)
def replace_report(call: Call, report_id: str) -> Any:
    body = call.body.model_dump()
    report = reports.replace(
        report_id, body, revision=call.revision, actor=call.actor, now=call.now, approve=_approval(call)
    )
    return _shown(report)


@operation(
    "PATCH",
    "/reports/{report_id}",
    body=ReportPatch,
    query=ForceQuery,
    answer=ReportOut,
    revised=True,
    errors=(ReportNotFound, BreaksTasks),
    summary="Change the named fields of a report; refused as a PUT is",
)
def patch_report(call: Call, report_id: str) -> Any:
    changes = call.body.model_dump(exclude_unset=True)
    report = reports.patch(
        report_id, changes, revision=call.revision, actor=call.actor, now=call.now, approve=_approval(call)
    )
    return _shown(report)


def _shown(report: ReportRecord) -> Shown:
    return with_source_names([report])[0]


def _approval(call: Call) -> reports.Approve | None:
    return None if call.query.force else dependents.refuse_if_broken


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
        AddressRefused,
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
