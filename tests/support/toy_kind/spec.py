"""What a task of kind `toy` says."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ToySpec(BaseModel):
    """Which shelf, how many toys, and how long each is played with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    toys: Annotated[int, Field(ge=1, le=100)] = 1
    seconds: Annotated[float, Field(ge=0, le=60)] = 0
