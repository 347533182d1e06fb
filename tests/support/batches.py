"""Batches for tests: begun and worked off by hand, and their outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from chalicelib.core.lifecycle import JobStatus
from chalicelib.errors import ConnectionDropped
from chalicelib.jobs import batch_listing, batch_worker, batches
from chalicelib.jobs.actions import Action
from chalicelib.jobs.batches import BatchRequest
from chalicelib.kinds.protocol import Outcome as Result
from chalicelib.kinds.protocol import RunContext
from chalicelib.store import batches as store
from chalicelib.store.audit import AuditRecord
from chalicelib.store.base import client
from chalicelib.store.batches import BatchRecord
from chalicelib.store.job_list_plan import JobFilter
from tests.support.simulator import OPERATOR, Stage


def waiting() -> dict[str, Any]:
    return {"filter": JobFilter(status=[JobStatus.WAITING]), "filter_document": {"status": ["waiting"]}}


def begin(stage: Stage, action: Action | str, *, key: str | None = None, **request: Any) -> BatchRecord:
    batch = batches.accept(BatchRequest(Action(action), **request), actor=OPERATOR, now=stage.now, key=key)
    stage.collect()
    return batch


def run(stage: Stage, action: Action | str, **request: Any) -> BatchRecord:
    """A batch from its beginning to its end, and none of the jobs it acts on."""
    batch = begin(stage, action, **request)
    step(stage, batch)
    return store.get(batch.batch_id)


def step(stage: Stage, batch: BatchRecord, *, seconds: float = 900) -> None:
    until = stage.now + timedelta(seconds=seconds)
    batch_worker.step(batch.batch_id, holder="worker-1", until=until, clock=stage.clock)
    stage.collect()


def outcomes_of(batch: BatchRecord) -> dict[str, tuple[Any, ...]]:
    """Outcome, message and status of each job."""
    found, size = {}, min(100, store.PART_JOBS)
    for page in range(1, int(batch.total) // size + 2):
        for row in batch_listing.outcomes(batch, outcome=None, page=page, page_size=size).items:
            found[row["job_id"]] = (row["outcome"], row["message"], row["status"])
    return found


def watches(stage: Stage) -> list[str]:
    return [item["job_id"] for item in stage.world.items("jobs") if item["job_id"].startswith("batch.")]


def entries(record_type: str) -> Counter[tuple[str, str]]:
    return Counter((each.action, each.record_id) for each in AuditRecord.scan() if each.record_type == record_type)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """The calls to DynamoDB, by operation."""
    found: Counter[str] = Counter()

    def note(model: Any, **_: Any) -> None:
        found[model.name] += 1

    client().meta.events.register("before-call", note, unique_id="tests-count")
    yield found
    client().meta.events.unregister("before-call", unique_id="tests-count")


def fails(context: RunContext) -> Result:
    raise ConnectionDropped("The connection broke.")
