from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field


class Problem(BaseModel):
    field: Annotated[str, Field(examples=["schedule.expression"])]
    message: str


class ErrorBody(BaseModel):
    """Every error. `Code` is stable; `Message` and `Errors` are for people."""

    Code: Annotated[str, Field(examples=["TaskNotFound"])]
    Message: str
    Errors: list[Problem]
