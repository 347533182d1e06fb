"""The audit: who changed which record, when and how."""

from __future__ import annotations

from typing import Any

from chalicelib.access import audit
from chalicelib.api.models.audit import AuditQuery, AuditRow
from chalicelib.api.models.base import Listing
from chalicelib.api.operation import Call, operation


@operation("GET", "/audit", query=AuditQuery, answer=Listing[AuditRow], summary="Who did what, newest first")
def list_audit(call: Call) -> Any:
    return audit.listing(now=call.now, **call.query.model_dump())
