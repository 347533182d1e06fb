"""`report_export` put together with this stage's tables, secrets and bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.aws import secrets
from chalicelib.aws.files import s3
from chalicelib.errors import Invalid, ReportNotFound
from chalicelib.kinds.report_export import Ports, ReportExport
from chalicelib.settings import settings
from chalicelib.store import catalogue


def report_export() -> ReportExport:
    """The kind, ready to run in this process."""
    return StageReportExport(
        Ports(
            load_report=_report,
            load_source=_source,
            load_secret=_password,
            s3=s3,
            bucket=settings().bucket,
            data_folder=settings().data_folder or None,
        )
    )


class StageReportExport(ReportExport):
    """Refuses a task whose report does not exist when the task is saved, not when it first runs."""

    def check_spec(self, spec: Mapping[str, Any], *, has_window: bool, timezone: str) -> dict[str, Any]:
        accepted = super().check_spec(spec, has_window=has_window, timezone=timezone)
        try:
            catalogue.get_report(accepted["report_id"])
        except ReportNotFound:
            raise Invalid(f"There is no report {accepted['report_id']}.", field="spec.report_id") from None
        return accepted


def _report(report_id: str) -> Mapping[str, Any]:
    return catalogue.get_report(report_id).attribute_values


def _source(source_id: str) -> Mapping[str, Any]:
    return catalogue.get_source(source_id).attribute_values


def _password(source_id: str) -> str | None:
    password = secrets.get(secrets.source_name(source_id)).get("password")
    return None if password is None else str(password)
