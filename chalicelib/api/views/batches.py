"""Batches: one action on many jobs, and what became of each."""

from __future__ import annotations

import json
from typing import Any

from chalicelib.api.idempotency import Answer
from chalicelib.api.models.base import Listing, PageQuery
from chalicelib.api.models.batches import BatchIn, BatchOut, BatchPreview, BatchRow, OutcomeQuery
from chalicelib.api.models.job_filters import job_filter
from chalicelib.api.operation import Call, operation
from chalicelib.errors import BatchNotFound, WrongState
from chalicelib.jobs import batch_listing, batches
from chalicelib.jobs.batches import BatchRequest, within_filter
from chalicelib.store.batches import BatchRecord

# 10,000 ids of 64 letters, each with its quotes and a line of its own.
BODY_LIMIT_BYTES = 1_048_576


@operation(
    "POST",
    "/jobs/batch",
    body=BatchIn,
    body_limit_bytes=BODY_LIMIT_BYTES,
    answer=BatchRow,
    status=202,
    more_answers={"200": "With `dry_run`: how many jobs match, of which status, and why which would be refused"},
    summary="Cancel, re-run, re-prioritise or delete many jobs",
)
def start_batch(call: Call) -> Any:
    given = call.body.filter
    with within_filter():
        wanted = None if given is None else job_filter(given.model_dump(), now=call.now)
    request = BatchRequest(
        action=call.body.action,
        job_ids=call.body.job_ids,
        filter=wanted,
        filter_document=None if given is None else given.model_dump(mode="json", exclude_unset=True),
        priority=call.body.priority,
    )
    if call.body.dry_run:
        shown = BatchPreview.model_validate(batches.preview(request, now=call.now)).model_dump(mode="json")
        return Answer(200, json.dumps(shown, ensure_ascii=False))
    return _row(batches.accept(request, actor=call.actor, now=call.now, key=call.key))


@operation("GET", "/batches", query=PageQuery, answer=Listing[BatchRow], summary="List batches, newest first")
def list_batches(call: Call) -> Any:
    found = batch_listing.listing(now=call.now, **call.query.model_dump())
    return {**_page(found), "items": [_row(batch) for batch in found.items]}


@operation(
    "GET",
    "/batches/{batch_id}",
    query=OutcomeQuery,
    answer=BatchOut,
    errors=(BatchNotFound,),
    summary="Read a batch, and a page of what became of its jobs",
)
def get_batch(call: Call, batch_id: str) -> Any:
    batch = batch_listing.get(batch_id)
    found = batch_listing.outcomes(batch, **call.query.model_dump())
    return {**_row(batch), "outcomes": {**_page(found), "items": found.items}}


@operation(
    "POST",
    "/batches/{batch_id}/cancel",
    answer=BatchRow,
    errors=(BatchNotFound, WrongState),
    summary="Leave alone the jobs of a batch that were not tried yet",
)
def cancel_batch(call: Call, batch_id: str) -> Any:
    return _row(batches.cancel(batch_id, actor=call.actor, now=call.now))


def _row(batch: BatchRecord) -> dict[str, Any]:
    columns = {name: getattr(batch, name) for name in BatchRow.model_fields if name != "counts"}
    return columns | {"counts": batch_listing.counts(batch)}


def _page(found: Any) -> dict[str, Any]:
    names = ("page", "page_size", "total", "total_is_lower_bound", "pages")
    return {name: getattr(found, name) for name in names}
