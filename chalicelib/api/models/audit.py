from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from chalicelib.api.models.base import Answer, Id, Instant, PageQuery

# Actions and types of records, such as `set_priority` and `source`.
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,63}$")]


class AuditQuery(PageQuery):
    actor: Annotated[str | None, Field(min_length=1, max_length=200, description="The name, exactly")] = None
    action: Annotated[Word | None, Field(examples=["update", "cancel"])] = None
    record_type: Annotated[Word | None, Field(examples=["task", "source"])] = None
    record_id: Id | None = None
    at_from: Annotated[Instant | None, Field(description="Inclusive")] = None
    at_to: Annotated[Instant | None, Field(description="Exclusive")] = None


class AuditRow(Answer):
    entry_id: str
    at: Instant
    actor: str
    token_id: Annotated[str | None, Field(description="Of the API token that was used; several may have one name")]
    subject: Annotated[str | None, Field(description="The `sub` of the JWT that was used")]
    role: str
    action: str
    record_type: str
    record_id: str
    changes: Annotated[dict[str, list[object]], Field(description="Field -> [from, to]; secrets are masked.")]
