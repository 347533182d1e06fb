"""`report_export` put together with this stage's tables, secrets and bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.aws import secrets
from chalicelib.kinds.report_export.kind import Ports, ReportExport
from chalicelib.settings import settings
from chalicelib.storage.bucket import s3
from chalicelib.store import catalogue


def report_export() -> ReportExport:
    """The kind, ready to run in this process."""
    return ReportExport(
        Ports(
            load_report=_report,
            load_source=_source,
            load_secret=_password,
            load_both=_both,
            s3=s3,
            bucket=settings().bucket,
            data_folder=settings().data_folder or None,
        )
    )


def _report(report_id: str) -> Mapping[str, Any]:
    return catalogue.get_report(report_id).attribute_values


def _source(source_id: str) -> Mapping[str, Any]:
    return catalogue.get_source(source_id).attribute_values


def _both(report_id: str, source_id: str) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    report, source = catalogue.find_report_and_source(report_id, source_id)
    return None if report is None else report.attribute_values, None if source is None else source.attribute_values


def _password(source_id: str, version: str | None) -> str | None:
    password = secrets.get(secrets.source_name(source_id), version).get("password")
    return None if password is None else str(password)
