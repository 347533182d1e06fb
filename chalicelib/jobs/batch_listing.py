"""Reads batches: pages of them, how many jobs came to which outcome, and pages of outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from chalicelib import retention
from chalicelib.core.ids import months_between
from chalicelib.paging import TOTAL_LIMIT, Page, check
from chalicelib.store import batches as store
from chalicelib.store import jobs
from chalicelib.store.batches import BatchRecord, BatchStatus, Outcome, OutcomeRow

PENDING = "pending"
# DynamoDB deletes an expired batch days after its end; until then it is listed.
DELETED_WITHIN = timedelta(days=30)


def get(batch_id: str) -> BatchRecord:
    return store.get(batch_id)


def listing(*, page: int, page_size: int, now: datetime) -> Page:
    """Batches, newest first, as far back as they are kept. The total is exact up to 10,000."""
    check(page, page_size)
    ids = store.newest_first(months_between(now - timedelta(days=retention.longest_days()) - DELETED_WITHIN, now))
    start = (page - 1) * page_size
    skipped = sum(1 for _ in islice(ids, start))
    shown = list(islice(ids, page_size))
    total = skipped + len(shown) + sum(1 for _ in islice(ids, max(0, TOTAL_LIMIT - start - len(shown)) + 1))
    rows = store.get_many(shown) if shown else []
    return Page(rows, page, page_size, min(total, TOTAL_LIMIT), total_is_lower_bound=total > TOTAL_LIMIT)


def counts(batch: BatchRecord) -> dict[str, int]:
    """How many jobs came to each outcome until now; `pending` are not tried yet."""
    known, moving = batch.counts or {}, batch.open_counts or {}
    return _with_pending(batch, {each.value: int(known.get(each, 0) + moving.get(each, 0)) for each in Outcome})


def counts_of_closed_parts(batch: BatchRecord) -> dict[str, int]:
    """How many jobs have an outcome that `outcomes` shows; the rest is `pending`, that of the open part too."""
    known = batch.counts or {}
    return _with_pending(batch, {each.value: int(known.get(each, 0)) for each in Outcome})


def _with_pending(batch: BatchRecord, found: dict[str, int]) -> dict[str, int]:
    return found | {PENDING: int(batch.total) - sum(found.values())}


def outcomes(batch: BatchRecord, *, outcome: str | None, page: int, page_size: int) -> Page:
    """`{job_id, task_name, outcome, message, status}` of each job, in the batch's order.

    `outcome` keeps jobs of one outcome. `task_name` is None for a job that is gone.
    """
    check(page, page_size)
    start = (page - 1) * page_size
    if outcome is not None:
        # An acceptance that crashed may have left parts beyond the batch's own.
        parts = islice(store.parts(batch.batch_id), batch.parts)
        matching = (item for part in parts for item in _rows(batch, part) if item[1].outcome == outcome)
        return Page(
            _shown(islice(matching, start, start + page_size)), page, page_size, counts_of_closed_parts(batch)[outcome]
        )
    number, skip = start // store.PART_JOBS + 1, start % store.PART_JOBS
    part = store.find(batch.batch_id, number) if number <= batch.parts else None
    rows = iter(()) if part is None else islice(_rows(batch, part), skip, skip + page_size)
    return Page(_shown(rows), page, page_size, int(batch.total))


def _rows(batch: BatchRecord, part: BatchRecord) -> Iterator[tuple[str, OutcomeRow]]:
    """Each job of a part, with its outcome."""
    untried = OutcomeRow(PENDING, None, None)
    if batch.status == BatchStatus.CANCELED:
        untried = OutcomeRow(Outcome.CANCELED, "The batch was cancelled before.", None)
    return zip(part.job_ids, part.outcome_rows or [untried] * len(part.job_ids), strict=True)


def _shown(rows: Iterator[tuple[str, OutcomeRow]]) -> list[dict[str, str | None]]:
    found = list(rows)
    names = jobs.task_names_of(job_id for job_id, _ in found)
    return [{"job_id": job_id, "task_name": names.get(job_id), **row._asdict()} for job_id, row in found]
