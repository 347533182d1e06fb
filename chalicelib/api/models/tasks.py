from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, computed_field

from chalicelib.api.models.base import (
    Answer,
    Id,
    Instant,
    Label,
    Name,
    PageQuery,
    Request,
    Slot,
    SourceName,
    Text,
    example,
    first_example,
    unset,
)
from chalicelib.api.models.schedules import (
    MisfireObject,
    Object,
    RetryObject,
    ScheduleObject,
    ShownAsOneOf,
    WindowObject,
    Words,
)
from chalicelib.core.lifecycle import JobStatus
from chalicelib.core.overlap import OverlapPolicy
from chalicelib.core.rank import PRIORITY_MAX, PRIORITY_MIN
from chalicelib.core.schedules.words import describe
from chalicelib.kinds.registry import KINDS, spec_models
from chalicelib.tasks.listing import COLUMNS

LONGEST_SECONDS = 30 * 86_400
CLOUD = "cloud"

Priority = Annotated[int, Field(ge=PRIORITY_MIN, le=PRIORITY_MAX, description="Higher goes first")]
Seconds = Annotated[int, Field(ge=1, le=LONGEST_SECONDS)]
StatementSeconds = Annotated[int, Field(ge=1, le=86_400, description="For one statement; enforced by the database")]
WaitSeconds = Annotated[Seconds, Field(description="How long a job may wait for a worker")]
DeadlineSeconds = Annotated[Seconds, Field(description="How long a job may take, retries included")]
MaxConcurrency = Annotated[
    int, Field(ge=1, le=1_000, description="How many of its jobs may be active at once; null: any number")
]
KindName = Annotated[str, Field(max_length=64, json_schema_extra=lambda shown: shown.update(examples=list(KINDS)))]
Pool = Annotated[
    Id, AfterValidator(lambda name: _served(name)), Field(description="Only `cloud` has workers", examples=[CLOUD])
]
Parameters = Annotated[Object, Field(description="Values of the report's parameters, by name")]
# Judged by the kind, as the schedule is by `core/`; shown for each kind there is.
Spec = Annotated[Object, ShownAsOneOf(spec_models), Field(description="What to do; its fields are the kind's")]
TriggerName = Annotated[
    Literal["tick", "eventbridge"],
    Field(
        description="What fires the schedule: the tick, to the second; or an EventBridge rule of the task's own, to be "
        "seen and edited in the AWS console, in UTC, within about a minute of the slot"
    ),
]
# A policy's value as text: a StrEnum is strict about being one, and JSON has none.
Overlap = Annotated[OverlapPolicy, Field(description="What a slot does while an earlier job of the task is not over")]


def _served(pool: str) -> str:
    if pool != CLOUD:
        raise ValueError(f"only the pool {CLOUD} exists: nothing would serve jobs of another")
    return pool


def _show_task(schema: dict[str, Any]) -> None:
    kind, model = next(iter(spec_models().items()))
    schema["examples"] = [
        {
            "name": "Daily orders",
            "kind": kind,
            "spec": first_example(model),
            "schedule": {"type": "cron", "expression": "0 2 * * *", "timezone": "Asia/Shanghai"},
            "window": {"type": "yesterday"},
            "retry": {"max_attempts": 3, "delay_seconds": 60},
        }
    ]


class TaskIn(Request):
    model_config = ConfigDict(json_schema_extra=_show_task)

    name: Name
    kind: KindName
    spec: Spec
    schedule: ScheduleObject
    window: WindowObject | None = None
    enabled: bool = True
    group: Label = ""
    description: Text = ""
    misfire: MisfireObject = "fire_once"
    overlap: Overlap = OverlapPolicy.SKIP
    priority: Priority = 1000
    retry: RetryObject | None = None
    parameters: Parameters = Field(default_factory=dict)
    pool: Pool = CLOUD
    trigger: TriggerName = "tick"
    deadline_seconds: DeadlineSeconds | None = None
    queue_wait_limit_seconds: WaitSeconds | None = None
    statement_timeout_seconds: StatementSeconds | None = None
    max_concurrency: MaxConcurrency | None = None


class TaskPatch(Request):
    """Only the fields to change; an object is replaced whole."""

    name: Name = Field(default_factory=unset)
    kind: KindName = Field(default_factory=unset)
    spec: Spec = Field(default_factory=unset)
    schedule: ScheduleObject = Field(default_factory=unset)
    window: WindowObject | None = Field(default_factory=unset)
    enabled: bool = Field(default_factory=unset)
    group: Label = Field(default_factory=unset)
    description: Text = Field(default_factory=unset)
    misfire: MisfireObject = Field(default_factory=unset)
    overlap: Overlap = Field(default_factory=unset)
    priority: Priority = Field(default_factory=unset)
    retry: RetryObject | None = Field(default_factory=unset)
    parameters: Parameters = Field(default_factory=unset)
    pool: Pool = Field(default_factory=unset)
    trigger: TriggerName = Field(default_factory=unset)
    deadline_seconds: DeadlineSeconds | None = Field(default_factory=unset)
    queue_wait_limit_seconds: WaitSeconds | None = Field(default_factory=unset)
    statement_timeout_seconds: StatementSeconds | None = Field(default_factory=unset)
    max_concurrency: MaxConcurrency | None = Field(default_factory=unset)


class RunIn(Request):
    model_config = example({"scheduled_for": "2026-03-01T18:00:00Z"})

    parameters: Parameters = Field(default_factory=dict)
    scheduled_for: Annotated[Slot | None, Field(description="A past slot, whose window the job gets")] = None


class NoteIn(Request):
    model_config = example({"note": "While the warehouse is moved"})

    note: Text | None = None


def _or_empty(value: Any) -> Any:
    return {} if value is None else value


class TaskRow(Answer):
    task_id: str
    name: str
    kind: str
    group: str
    creator: str
    description: str
    enabled: bool
    note: str
    schedule: ScheduleObject
    source_id: str | None
    source_name: SourceName
    priority: int
    revision: int
    created_at: Instant
    updated_at: Instant
    next_fire_at: Instant | None
    latest_job_id: str | None
    latest_status: JobStatus | None
    latest_at: Instant | None

    @computed_field(description="The schedule in words")  # type: ignore[prop-decorator]
    @property
    def information(self) -> Words:
        return Words(en=describe(self.schedule, "en"), zh=describe(self.schedule, "zh"))


class TaskOut(TaskRow):
    spec: Spec
    window: WindowObject | None
    misfire: MisfireObject
    overlap: OverlapPolicy
    retry: Annotated[RetryObject, BeforeValidator(_or_empty)]
    parameters: Annotated[Parameters, BeforeValidator(_or_empty)]
    pool: str
    trigger: str
    deadline_seconds: int | None
    queue_wait_limit_seconds: int | None
    statement_timeout_seconds: int | None
    max_concurrency: int | None


class TaskSaved(TaskOut):
    job_id: Annotated[str | None, Field(description="The job that this started, as saving an enabled `now` task does")]


class TaskQuery(PageQuery):
    search: Annotated[str | None, Field(max_length=200, description="Part of the name, in any case of letters")] = None
    kind: str | None = None
    group: str | None = None
    creator: str | None = None
    enabled: bool | None = None
    latest_status: JobStatus | None = None
    sort: Annotated[
        str | None,
        WithJsonSchema({"enum": [*(sign + column for sign in ("", "-") for column in COLUMNS), None]}),
        Field(
            description="A column; with a leading `-` descending. Newest first unless given; "
            "`information` sorts by the words in English",
            examples=["name", "-next_fire_at"],
        ),
    ] = None
