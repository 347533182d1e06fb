"""The bases of all models. Requests refuse unknown fields; answers are read from records; instants end in `Z`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from chalicelib.api.models import patterns
from chalicelib.core.instants import rfc3339, slot, utc
from chalicelib.paging import DEFAULT_PAGE_SIZE, PAGE_SIZES


def _representable(instant: datetime) -> datetime:
    try:
        return utc(instant)
    except OverflowError as error:
        raise ValueError("the instant is out of range") from error


Instant = Annotated[
    AwareDatetime,
    AfterValidator(_representable),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-08T07:00:00Z"]}),
]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(patterns.visible)
]
Text = Annotated[str, StringConstraints(max_length=4_000)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100), AfterValidator(patterns.visible)]
Id = Annotated[str, StringConstraints(pattern=patterns.ID)]
Slot = Annotated[Instant, AfterValidator(slot)]


class Request(BaseModel):
    # Strict: "5" is no number and 1 is no boolean. Built at the first use, not at import, for a fast start.
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True, allow_inf_nan=False)


def example(body: Mapping[str, Any]) -> ConfigDict:
    """The configuration of a request whose schema shows this body."""
    return ConfigDict(json_schema_extra={"examples": [dict(body)]})


def first_example(model: type[BaseModel]) -> Any:
    """The first example that a model's configuration has."""
    shown: Any = model.model_config["json_schema_extra"]
    return shown["examples"][0]


class Query(BaseModel):
    """Query parameters: all text on the way in."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True, defer_build=True)


class PageQuery(Query):
    page: int = Field(default=1, ge=1, le=1_000_000)
    page_size: Annotated[
        int,
        AfterValidator(lambda size: _one_of_sizes(size)),
        WithJsonSchema({"type": "integer", "enum": list(PAGE_SIZES)}),
    ] = DEFAULT_PAGE_SIZE


def _one_of_sizes(size: int) -> int:
    if size not in PAGE_SIZES:
        raise ValueError(f"must be one of {', '.join(map(str, PAGE_SIZES))}")
    return size


Row = TypeVar("Row", bound=BaseModel)


class Listing(Answer, Generic[Row]):
    """One page. When `total_is_lower_bound`, there are at least `total`."""

    items: list[Row]
    page: int
    page_size: int
    total: int
    total_is_lower_bound: bool
    pages: int


SourceName = Annotated[str | None, Field(description="As it is now; null for a source that is gone")]


def unset() -> Any:
    """The default of a field that a patch may leave out: an absent field is not changed, null is refused."""
    return None
