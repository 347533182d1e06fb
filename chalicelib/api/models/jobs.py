from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from chalicelib.api.models.base import Answer, Id, Instant, PageQuery, Query, Request, SourceName
from chalicelib.api.models.reasons import ReasonFilter, ReasonName
from chalicelib.api.models.schedules import Object, RetryObject
from chalicelib.api.models.tasks import Priority
from chalicelib.core.lifecycle import JobStatus, RunStatus, Trigger
from chalicelib.core.prices import PRICE_LIST
from chalicelib.kinds.registry import definition_words


def _or_list(value: Any) -> Any:
    return [] if value is None else value


def _or_object(value: Any) -> Any:
    return {} if value is None else value


Manifest = Annotated[
    Object,
    Field(
        description="file_name, rows, bytes, sha256, columns, window, queries, and how it was written. The record of a "
        "job with long manifests leaves the columns out; `GET /jobs/{job_id}/files` has them, up to 4 MB in all"
    ),
]
Manifests = Annotated[list[Manifest], BeforeValidator(_or_list)]


# Text of a filter.
Part = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class JobQuery(PageQuery):
    """Instants bound the slot of a scheduled job, and the acceptance of any other."""

    created: Annotated[
        Literal["all", "today", "yesterday", "week", "month"],
        Field(description="Today, yesterday, the last 7 days, the last 30 days; not together with created_from or _to"),
    ] = "all"
    created_from: Annotated[Instant | None, Field(description="Inclusive")] = None
    created_to: Annotated[Instant | None, Field(description="Exclusive")] = None
    timezone: Annotated[str, Field(description="Whose days `created` means", examples=["Europe/Paris"])] = "UTC"
    search: Annotated[Part | None, Field(description="A part of the task's name, in any case of letters")] = None
    status: Annotated[list[JobStatus], Field(description="May be repeated", default_factory=list)]
    reason: ReasonFilter | None = None
    job_id: Id | None = None
    task_id: Id | None = None
    account_id: Id | None = None
    source_id: Id | None = None
    kind: Part | None = None
    action: Part | None = None
    group: Part | None = None
    operator: Annotated[Part | None, Field(description="Who started it by hand")] = None
    pool: Id | None = None
    trigger: Trigger | None = None
    sort: Annotated[Literal["created_at", "-created_at"] | None, Field(description="Newest first unless given")] = None


class JobRow(Answer):
    job_id: str
    task_id: str
    task_name: str
    kind: str
    group: Annotated[str, BeforeValidator(lambda value: value or "")]
    status: JobStatus
    reason: ReasonName | None
    trigger: Trigger
    pool: str
    priority: int
    operator: str | None
    scheduled_for: Instant
    created_at: Instant
    started_at: Instant | None
    ended_at: Instant | None
    lateness_seconds: float | None
    run_no: int
    rows: int | None
    bytes: int | None
    source_id: str | None
    source_name: SourceName
    account_id: str | None
    action: str | None


class QueuePlace(Answer):
    """Where a waiting job stands in its pool. `estimated_start_at` is now + mean_run_seconds * jobs ahead / active, and
    never before the job's own time; where it is null, `reason` says why."""

    position: Annotated[int | None, Field(description="1: the next. Null while an earlier job of its task goes first")]
    position_is_lower_bound: bool
    paused: Annotated[bool, Field(description="The pool is paused: nothing is claimed from it")]
    limited_by: Annotated[str | None, Field(description="The full limit: `task:<id>` or `source:<id>`")]
    estimated_start_at: Instant | None
    reason: Annotated[
        Literal["paused", "overlap", "limited", "no_history"] | None, Field(description="Why no start can be told")
    ]
    active: Annotated[int, Field(description="Jobs of the pool that are assigned or running")]
    mean_run_seconds: Annotated[float | None, Field(description="Of the pool's last runs; `sample` says of how many")]
    sample: int


class JobOut(JobRow):
    queue: Annotated[
        QueuePlace | None,
        Field(description="For a waiting job, where it is read by itself or its priority was changed; else null"),
    ] = None
    creator: str
    correlation_id: Annotated[
        str | None, Field(description="Of the request or event that made it wait; log lines have the same id")
    ] = None
    description: str
    error: str | None
    spec: Object
    parameters: Annotated[Object, BeforeValidator(_or_object)]
    timezone: str
    window_start: Instant | None
    window_end: Instant | None
    enqueued_at: Instant | None
    next_attempt_at: Instant | None
    first_started_at: Instant | None
    cancel_requested_at: Instant | None
    cancel_requested_by: str | None
    stopped_at: Annotated[
        Instant | None,
        Field(description="When the work had ended, not when it was asked to; null when its worker died"),
    ]
    canceled_at: Instant | None
    attempts_spent: int
    summary: str | None
    files: Manifests
    retry: Annotated[RetryObject, BeforeValidator(_or_object)]
    overlap: str
    deadline_seconds: int | None
    queue_wait_limit_seconds: int | None
    statement_timeout_seconds: int | None


class Cost(Answer):
    """Counted while runs lived; what comes before and after them is not in it. `usd` is an estimate by list prices."""

    runs: Annotated[int, Field(description="How many runs this is the sum of: those whose worker was lost are not")]
    usd: Annotated[str, Field(description=f"US dollars, a decimal; prices of {PRICE_LIST}", examples=["0.0000312461"])]
    lambda_requests: int
    lambda_gb_seconds: float
    dynamodb_read_units: float
    dynamodb_write_units: float
    s3_requests: Annotated[int, Field(description="PUT, POST and LIST")]
    s3_bytes: Annotated[int, Field(description="Of the files")]
    s3_byte_days: Annotated[int, Field(description="The bytes times the days that they are kept")]


class RunOut(Answer):
    job_id: str
    run_no: int
    status: RunStatus
    reason: ReasonName | None
    error: str | None
    worker: str | None
    created_at: Instant
    started_at: Instant | None
    ended_at: Instant | None
    stopped_at: Annotated[Instant | None, Field(description="When the work of a run that was asked to stop had ended")]
    statement_may_run: Annotated[
        bool | None,
        Field(description="True: the source's server could not be told to end the statement; it may still run there"),
    ]
    rows: int | None
    bytes: int | None
    summary: str | None
    cost: Cost | None


class Failure(Answer):
    run_no: int
    at: Instant | None
    status: RunStatus
    reason: ReasonName | None
    error: str | None


class Definition(Answer):
    """What ran. While `frozen` is false nothing has: it is what would run now."""

    frozen: bool
    run_no: int | None
    document: Annotated[
        Object,
        Field(
            description="The kind says what is in it",
            json_schema_extra=lambda shown: shown.update(
                description=f"The kind says what is in it; {definition_words()}"
            ),
        ),
    ]


class JobDetailQuery(Query):
    run: Annotated[
        int | None, Field(ge=1, description="Whose definition to show; the newest run's that has one, unless given")
    ] = None


class JobDetail(JobOut):
    not_before: Instant
    deadline_at: Annotated[Instant | None, Field(description="Known from the start of the first run")]
    queue_wait_ends_at: Instant | None
    expires_at: Annotated[Instant | None, Field(description="When the record is deleted; null while the job is open")]
    definition: Definition
    cost: Cost | None
    run_count: int
    runs: Annotated[list[RunOut], Field(description="The newest three, newest first")]
    failures: Annotated[list[Failure], Field(description="Of the newest 32 runs, newest first")]


class PoolCount(Answer):
    pool: str
    kind: str
    waiting: int
    assigned: int
    running: int


class Counts(Answer):
    waiting: int
    assigned: int
    running: int
    pools: list[PoolCount]


class RunQuery(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 3


class Runs(Answer):
    items: list[RunOut]


class LogQuery(Query):
    run: Annotated[int | None, Field(ge=0, description="The job's last, unless given")] = None
    level: Annotated[
        Literal["all", "alert", "DEBUG", "INFO", "WARN", "ERROR"], Field(description="alert: WARN and ERROR")
    ] = "all"
    search: Annotated[
        str | None, Field(max_length=200, description="Text in the message, in any case; nothing in it is special")
    ] = None
    cursor: Annotated[str | None, Field(description="`next_cursor` of the answer before")] = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 200


class LogLine(Answer):
    time: str
    level: str
    type: str
    message: str
    picture: Annotated[str | None, Field(description="The key of an object that shows what the line speaks of")]
    run_no: int
    sequence: int


class Logs(Answer):
    """Lines in order. Ask again with `next_cursor` for what follows; it is null when nothing can. An answer may have
    fewer lines than asked for, or none, and still a cursor. Without `run` it goes on into attempts that come after.
    """

    items: list[LogLine]
    next_cursor: str | None


class LogDownloadQuery(Query):
    run: Annotated[int | None, Field(ge=0, description="The job's last, unless given")] = None
    level: Annotated[
        Literal["all", "alert", "DEBUG", "INFO", "WARN", "ERROR"], Field(description="alert: WARN and ERROR")
    ] = "all"
    format: Annotated[Literal["text", "jsonl"], Field(description="jsonl: a JSON object on each line")] = "text"


class LogLink(Answer):
    """A link to the lines so far, that opens without a token until it expires."""

    name: str
    url: str
    expires_at: str


class Files(Answer):
    items: list[Manifest]


class DownloadQuery(Query):
    n: Annotated[int | None, Field(ge=0, description="Which file, from 0; all of them, unless given")] = None
    redirect: Annotated[bool, Field(description="1: answer 302 to the file; of several `n` says which")] = False


class Link(Answer):
    """A link that opens without a token until it expires."""

    name: str
    url: str
    expires_at: str
    sha256: str
    bytes: int
    rows: int | None


class Links(Answer):
    items: list[Link]


class PriorityIn(Request):
    priority: Priority
