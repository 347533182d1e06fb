from __future__ import annotations

from typing import Annotated

from pydantic import Field

from chalicelib.api.models.base import Answer, Instant, PageQuery, Request, Text, unset


class PoolQuery(PageQuery):
    """Every pool that has a record, or that a task or an open job names."""


class PoolPatch(Request):
    """Only the fields to change."""

    paused: Annotated[bool, Field(description="While true nothing is claimed from it")] = Field(default_factory=unset)
    description: Text = Field(default_factory=unset)
    note: Annotated[Text, Field(description="Why it is paused")] = Field(default_factory=unset)


class PoolOut(Answer):
    pool_id: str
    description: str
    paused: bool
    note: str
    revision: Annotated[int, Field(description="0 until the pool is first changed")]
    updated_at: Instant | None
    waiting: int
    assigned: int
    running: int
