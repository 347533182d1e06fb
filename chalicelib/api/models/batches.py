from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, create_model

from chalicelib.api.models.base import Answer, Id, Instant, Listing, PageQuery, Request, example
from chalicelib.api.models.job_filters import PAGING
from chalicelib.api.models.jobs import JobQuery
from chalicelib.api.models.schedules import Object
from chalicelib.api.models.tasks import Priority
from chalicelib.jobs.actions import Action
from chalicelib.jobs.batches import MOST_JOBS
from chalicelib.store.batches import BatchStatus, Outcome

# The filters of the list of jobs as a JSON object, strict like every body.
JobFilterIn: type[BaseModel] = create_model(
    "JobFilterIn",
    __base__=Request,
    __doc__='The filters of `GET /jobs`, by the same names; `{"created": "all"}` is every job.',
    **{name: (field.annotation, field) for name, field in JobQuery.model_fields.items() if name not in PAGING},
)  # type: ignore[call-overload]


class BatchIn(Request):
    """One action on many jobs: those of `job_ids`, or those that match `filter`."""

    model_config = example({"action": "rerun", "filter": {"status": ["failed"], "created": "today"}, "dry_run": True})

    action: Action
    job_ids: Annotated[
        list[Id] | None, Field(min_length=1, max_length=MOST_JOBS, description="An id that comes twice counts once")
    ] = None
    filter: JobFilterIn | None = None
    priority: Annotated[Priority | None, Field(description="With set_priority, and only with it")] = None
    dry_run: Annotated[bool, Field(description="Only count: answers 200 with what the batch would meet now")] = False


class BatchCounts(Answer):
    """Jobs by outcome; `pending` are to be tried yet."""

    done: int
    refused: int
    not_found: int
    canceled: int
    pending: int


class BatchRow(Answer):
    batch_id: str
    action: Action
    priority: int | None
    filter: Annotated[Object | None, Field(description="As it was asked; null when the jobs were named")]
    status: BatchStatus
    total: int
    counts: BatchCounts
    actor: str
    role: str
    created_at: Instant
    cancel_requested_at: Instant | None
    cancel_requested_by: str | None
    ended_at: Instant | None


class OutcomeOut(Answer):
    job_id: str
    task_name: Annotated[str | None, Field(description="null for a job that is not there")]
    outcome: Outcome | Literal["pending"]
    message: Annotated[str | None, Field(description="Why it was not done, or what it came to")]
    status: Annotated[str | None, Field(description="The job's status after; null for one that is not there")]


class BatchOut(BatchRow):
    outcomes: Listing[OutcomeOut]


class OutcomeQuery(PageQuery):
    outcome: Outcome | Literal["pending"] | None = None


class Refusals(Answer):
    message: str
    count: int


class BatchPreview(Answer):
    dry_run: bool
    action: Action
    matched: int
    statuses: dict[str, int]
    taken: int
    refused: list[Refusals]
    not_found: int
