"""What an export runs, as a document for people: the report as it stood, its SQL, and how the file is written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from chalicelib.core.instants import rfc3339
from chalicelib.kinds.report_export.spec import NamedQuery, Report, ReportExportSpec, SourceRecord

# In characters. A query may have 100,000; its hash stands for the whole text.
SQL_OF_ALL = 32_000
SQL_LIMIT = 16_000
VALUE_LIMIT = 500


def definition_of(spec: ReportExportSpec, report: Report, source: SourceRecord | None) -> dict[str, Any]:
    """JSON values only. `source` is None when it does not exist any more."""
    limit = min(SQL_LIMIT, SQL_OF_ALL // len(report.queries))
    return {
        "report": {"report_id": spec.report_id, "name": report.name, "revision": report.revision},
        "source": {
            "source_id": report.source_id,
            "name": None if source is None else source.name,
            "kind": None if source is None else source.kind,
        },
        "queries": [_query(query, limit) for query in report.queries],
        **spec.model_dump(mode="json", exclude={"report_id", "parameters"}),
    }


def _query(query: NamedQuery, limit: int) -> dict[str, Any]:
    """`cut` says that `sql` is only the beginning; `sha256` is of the whole text in UTF-8."""
    cut = len(query.sql) > limit
    return {
        "name": query.name,
        "sql": query.sql[:limit] + " …" if cut else query.sql,
        "cut": cut,
        "characters": len(query.sql),
        "sha256": hashlib.sha256(query.sql.encode()).hexdigest(),
    }


def values_shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the queries' parameters, as JSON."""
    return {name: _shown(value) for name, value in values.items()}


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, datetime):
        return rfc3339(value)
    text = value.isoformat() if isinstance(value, date) else str(value)
    return text if len(text) <= VALUE_LIMIT else text[:VALUE_LIMIT] + " …"
