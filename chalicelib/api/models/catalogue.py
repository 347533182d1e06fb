from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from chalicelib.api.models import patterns
from chalicelib.api.models.base import (
    Answer,
    Id,
    Instant,
    Label,
    Name,
    PageQuery,
    Query,
    Request,
    Slot,
    SourceName,
    Text,
    example,
    first_example,
    unset,
)
from chalicelib.api.models.schedules import Object, ShownAsOneOf, WindowObject
from chalicelib.api.models.tasks import MaxConcurrency
from chalicelib.sources.registry import SOURCES, settings_models

ParameterName = Annotated[str, StringConstraints(pattern=patterns.PARAMETER_NAME)]
Scalar = str | int | float | bool | None
Sql = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
Password = Annotated[
    str,
    StringConstraints(min_length=1, max_length=4_000, pattern=patterns.NO_NUL),
    Field(description="Goes to Secrets Manager and never comes out", json_schema_extra={"writeOnly": True}),
]
DateText = Annotated[str, StringConstraints(pattern=patterns.DATE)]

# Judged by the kind of source; shown for each kind there is.
Settings = Annotated[Object, ShownAsOneOf(settings_models)]


class SearchQuery(PageQuery):
    search: Annotated[str | None, Field(max_length=200, description="Part of the name, in any case of letters")] = None


# --- sources ----------------------------------------------------------------------------------------------------------


SourceKind = Annotated[str, Field(max_length=64, json_schema_extra=lambda shown: shown.update(examples=list(SOURCES)))]
SourceSettings = Annotated[Settings, Field(description="Where and how; the kind says which fields. Never a password.")]


def _show_source(schema: dict[str, Any]) -> None:
    kind, model = next(iter(settings_models().items()))
    schema["examples"] = [
        {"name": "Shop", "kind": kind, "settings": first_example(model), "password": "the password of that user"}
    ]


class SourceIn(Request):
    model_config = ConfigDict(json_schema_extra=_show_source)

    name: Name
    description: Text = ""
    kind: SourceKind
    settings: SourceSettings
    max_concurrency: MaxConcurrency | None = None
    password: Annotated[
        Password | None,
        Field(description="Left out of a PUT it stays as it is, unless the address changes; null removes it"),
    ] = Field(default_factory=unset)


class SourcePatch(Request):
    """Only the fields to change; `settings` are replaced whole."""

    name: Name = Field(default_factory=unset)
    description: Text = Field(default_factory=unset)
    kind: SourceKind = Field(default_factory=unset)
    settings: SourceSettings = Field(default_factory=unset)
    max_concurrency: MaxConcurrency | None = Field(default_factory=unset)
    password: Annotated[
        Password | None, Field(description="Left out it stays as it is, unless the address changes; null removes it")
    ] = Field(default_factory=unset)


class SourceOut(Answer):
    source_id: str
    name: str
    description: str
    kind: str
    settings: Settings
    has_secret: bool
    max_concurrency: int | None
    creator: str
    revision: int
    created_at: Instant
    updated_at: Instant


class SourceTested(Answer):
    reachable: bool
    product: str
    version: str
    user: str
    read_only: Annotated[
        bool, Field(description="Whether the database itself refuses writes, and the user has no power to go around it")
    ]
    tls: Annotated[
        Literal["verified", "unverified", "none"] | None,
        Field(description="unverified: the server did not prove who it is; none: in clear; null: no network"),
    ]
    powers: Annotated[list[str], Field(description="What the user may do beyond reading tables")]
    warnings: Annotated[list[str], Field(description="What an administrator should know of it, in sentences")]
    milliseconds: int


# --- reports ----------------------------------------------------------------------------------------------------------


class ReportQuery(Request):
    name: Name
    sql: Annotated[Sql, Field(description="One reading statement; `:name` stands for a parameter")]
    key: Annotated[
        list[Name] | None, Field(min_length=1, max_length=16, description="Columns of a unique, ordered, not-null key")
    ] = None


class ReportParameter(Request):
    name: ParameterName
    type: Literal["string", "integer", "number", "boolean", "date", "datetime"] = "string"
    required: bool = False
    default: Scalar = None
    description: Text = ""


class ReportIn(Request):
    model_config = example(
        {
            "name": "Orders",
            "source_id": "01JNB3Q4T0Z5W8H2C7XKD9V6RM",
            "queries": [
                {"name": "orders", "sql": "SELECT * FROM orders WHERE at >= :window_start AND region = :region"}
            ],
            "parameters": [{"name": "region", "type": "string", "default": "EU"}],
        }
    )

    name: Name
    description: Text = ""
    source_id: Id
    queries: Annotated[list[ReportQuery], Field(min_length=1, max_length=50)]
    parameters: Annotated[list[ReportParameter], Field(max_length=50, default_factory=list)]


class ReportPatch(Request):
    """Only the fields to change; a list is replaced whole."""

    name: Name = Field(default_factory=unset)
    description: Text = Field(default_factory=unset)
    source_id: Id = Field(default_factory=unset)
    queries: Annotated[list[ReportQuery], Field(min_length=1, max_length=50)] = Field(default_factory=unset)
    parameters: Annotated[list[ReportParameter], Field(max_length=50)] = Field(default_factory=unset)


class ForceQuery(Query):
    force: Annotated[bool, Field(description="true: save it although jobs of tasks that use it will fail")] = False


class ReportOut(Answer):
    report_id: str
    name: str
    description: str
    source_id: str
    source_name: SourceName
    queries: list[dict[str, Any]]
    parameters: list[dict[str, Any]]
    creator: str
    revision: int
    created_at: Instant
    updated_at: Instant


class ReportPreviewIn(Request):
    model_config = example({"parameters": {"region": "EU"}, "window": {"type": "yesterday"}, "limit": 10})

    query: Annotated[Name | None, Field(description="The first, unless given")] = None
    parameters: dict[str, Scalar] = Field(default_factory=dict)
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    window: WindowObject | None = None
    scheduled_for: Annotated[Slot | None, Field(description="The slot to look from; now, unless given")] = None
    timezone: str = "UTC"


class Column(Answer):
    name: str
    type: str


class ReportPreview(Answer):
    """Values as the database writes them in text; null is null."""

    query: str
    columns: list[Column]
    rows: list[list[str | None]]
    more: bool
    window_start: Instant | None
    window_end: Instant | None
    milliseconds: int


# --- calendars --------------------------------------------------------------------------------------------------------


class CalendarIn(Request):
    model_config = example(
        {"name": "Days off", "country": "CN", "days": {"2026-10-01": "off", "2026-10-10": "workday"}}
    )

    name: Name
    description: Text = ""
    country: Annotated[Label | None, Field(examples=["CN"])] = None
    days: Annotated[
        dict[str, Literal["workday", "off"]],
        Field(max_length=4_000, description="Where it differs from Monday to Friday", examples=[{"2026-10-01": "off"}]),
    ]
    covers_from: DateText | None = None
    covers_to: DateText | None = None


class CalendarPatch(Request):
    """Only the fields to change; `days` are replaced whole."""

    name: Name = Field(default_factory=unset)
    description: Text = Field(default_factory=unset)
    country: Label | None = Field(default_factory=unset)
    days: Annotated[dict[str, Literal["workday", "off"]], Field(max_length=4_000)] = Field(default_factory=unset)
    covers_from: DateText | None = Field(default_factory=unset)
    covers_to: DateText | None = Field(default_factory=unset)


class CalendarOut(Answer):
    calendar_id: str
    name: str
    description: str
    country: str | None
    days: dict[str, str]
    covers_from: str | None
    covers_to: str | None
    creator: str
    revision: int
    created_at: Instant
    updated_at: Instant
