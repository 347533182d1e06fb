"""Many jobs at the price of a few calls: copies of one that the product made, written straight into the table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from chalicelib.core.ids import month_bucket, ulid
from chalicelib.core.lifecycle import ENDED, JobStatus, Reason
from chalicelib.store.base import client
from chalicelib.store.job_record import JobRecord
from chalicelib.store.jobs import facets, lease_shard
from tests.support.simulator import Stage

# DynamoDB takes this many in one request.
BATCH = 25
# Of an open job alone.
OPEN_ONLY = ("ready_pool", "lease_shard", "lease_until", "active_task", "next_attempt_at")


def a_job(stage: Stage, **changes: Any) -> JobRecord:
    """A waiting job of a task that starts now; its token is in the SQS queue."""
    task = stage.task(**({"schedule": {"type": "now"}} | changes))
    return next(job for job in stage.jobs() if job.task_id == task.task_id)


def copies(
    stage: Stage, job: JobRecord, count: int, *, status: JobStatus = JobStatus.WAITING, reason: Reason | None = None
) -> list[str]:
    """Ids of that many copies with a status, newest first as lists show them. They have no tokens, and no runs."""
    made, items = [], []
    for number in range(count):
        copy = JobRecord(**job.attribute_values)
        copy.job_id = ulid(job.created_at - timedelta(milliseconds=number + 1), f"copy {status} {number}")
        copy.month, copy.lease_shard = month_bucket(copy.job_id), lease_shard(copy.job_id)
        copy.status, copy.reason = status, reason
        if status in ENDED:
            copy.ended_at = stage.now
            for name in OPEN_ONLY:
                setattr(copy, name, None)
        copy.facets = facets(copy, status, reason)
        made.append(copy.job_id)
        items.append(copy.serialize())
    table = JobRecord.Meta.table_name
    for at in range(0, count, BATCH):
        puts = [{"PutRequest": {"Item": item}} for item in items[at : at + BATCH]]
        answer = client().batch_write_item(RequestItems={table: puts})
        assert not answer.get("UnprocessedItems")
    return made
