"""Ends the leases of jobs that ran when the stack stopped: their workers stopped with it."""

from __future__ import annotations

import os
from datetime import datetime


def end(stack: str, *, now: datetime) -> int:
    """End the leases of all assigned and running jobs, so that `sweep` takes them up; answers how many there were.

    Only for who knows that no worker is alive. Reads the AWS configuration of the environment.
    """
    os.environ["CARILLON_TABLES"] = stack
    from chalicelib.core.lifecycle import ACTIVE
    from chalicelib.settings import settings
    from chalicelib.store import jobs
    from chalicelib.store.base import written
    from chalicelib.store.job_record import LEASE_SHARDS, JobRecord

    settings.cache_clear()
    ended = 0
    for job in jobs.get_many(row.job_id for shard in range(LEASE_SHARDS) for row in JobRecord.leases.query(shard)):
        if job.status not in ACTIVE:
            continue
        still = (JobRecord.status == job.status) & (JobRecord.fence == job.fence) & (JobRecord.run_no == job.run_no)
        ended += written(job, [JobRecord.lease_until.set(now)], still)
    return ended
