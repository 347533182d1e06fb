"""What a worker must know before it claims, read in one call: its pool, the job of its token, and that job's task."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.store import pools
from chalicelib.store.job_record import JobRecord
from chalicelib.store.pools import REGISTER, PoolRecord, PoolState
from chalicelib.store.task_record import TaskRecord
from chalicelib.store.together import read_together


@dataclass(frozen=True)
class ClaimReads:
    pool: PoolState
    job: JobRecord | None
    # None, too, when no task was asked for.
    task: TaskRecord | None


def read(pool_id: str, job_id: str, task_id: str | None) -> ClaimReads:
    """Read consistently, so that a pause holds from the next claim on."""
    asked = [] if task_id is None else [task_id]
    found = read_together({PoolRecord: [pool_id, REGISTER], JobRecord: [job_id], TaskRecord: asked})
    return ClaimReads(
        pools.state_of(found[PoolRecord], pool_id),
        next(iter(found[JobRecord]), None),
        next(iter(found[TaskRecord]), None),
    )
