"""How a job is deleted: first it is marked, then what hangs on it goes, its record last.

ended ──> going: no files shown, no re-run ──> audit ──> files, logs, runs ──> nothing
            │ it stands in the `leases` index: when the process dies anywhere here, `sweep` goes on
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.errors import FileNotWritten, Unavailable
from chalicelib.settings import settings
from chalicelib.storage.layout import discard_all
from chalicelib.storage.links import s3
from chalicelib.store import job_updates, logs, runs
from chalicelib.store.job_record import JobRecord

# How long whoever began may be believed at it.
LEASE = timedelta(seconds=60)
# Of the way a job goes, not of what it was.
INTERNAL_COLUMNS = frozenset(
    {
        "acts", "active_task", "admitted", "buffered", "deleted_at", "deleted_by", "fence", "holds", "late",
        "lease_shard", "lease_until", "month", "outlives_task", "rank", "ready_pool", "tokens_sent",
    }
)  # fmt: skip


def begin(
    job: JobRecord, *, actor: Actor, at: datetime, now: datetime, mark: str | None = None, batch_id: str | None = None
) -> bool:
    """Mark an ended job as going; False when it is not as it was read."""
    by = {"name": actor.name, "role": actor.role, "batch": batch_id}
    return job_updates.begin_delete(job, by=by, at=at, lease_until=now + LEASE, mark=mark)


def complete(job: JobRecord, *, shown: Mapping[str, Any] | None = None) -> None:
    """Remove what a job that is going left behind, then its record. Repeating it changes nothing.

    `shown` is what the audit is to show of it, where more of that is known than the record still says.
    """
    assert job.deleted_at is not None
    by = job.deleted_by
    actor, after = Actor(by["name"], by["role"]), {"batch": by["batch"]} if by["batch"] else None
    before = {name: value for name, value in (shown or audit.snapshot(job)).items() if name not in INTERNAL_COLUMNS}
    audit.record(actor, "delete", "job", job.job_id, before=before, after=after, now=job.deleted_at)
    remove_everything(job)
    job_updates.delete(job)


def remove_everything(job: JobRecord) -> None:
    """Remove the files, logs and runs of a job."""
    try:
        discard_all(s3(), settings().bucket, job.kind, job.job_id)
    except FileNotWritten as error:
        raise Unavailable(f"The files of job {job.job_id} could not be removed yet.") from error
    # 0 holds what was said of the job when no run was under way.
    for run_no in range(int(job.run_no) + 1):
        logs.remove(job.job_id, run_no)
        runs.remove(job.job_id, run_no)
