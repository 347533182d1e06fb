"""Deletes a job: `begin` marks it, `complete` removes its files, logs and runs, and its record last.

ended ──> being deleted: shows no files, cannot be re-run ──> audit ──> files, logs, runs ──> the record
            └ it is in the `leases` index: when the process dies anywhere from here on, `sweep` completes the deletion
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.errors import FileNotWritten, Unavailable
from chalicelib.settings import settings
from chalicelib.storage.bucket import s3
from chalicelib.storage.layout import discard_job
from chalicelib.store import job_updates, logs, runs
from chalicelib.store.job_record import JobRecord

# `sweep` leaves the deletion to the process that began it for this long.
LEASE = timedelta(seconds=60)
# Columns that the audit leaves out: they steer the job and say nothing of what it was.
INTERNAL_COLUMNS = frozenset(
    {
        "acts", "active_task", "admitted", "buffered", "cancel_by_policy", "deleted_at", "deleted_by", "fence", "holds",
        "late", "lease_shard", "lease_until", "month", "outlives_task", "rank", "ready_pool", "tokens_sent",
    }
)  # fmt: skip


def begin(
    job: JobRecord, *, actor: Actor, at: datetime, now: datetime, mark: str | None = None, batch_id: str | None = None
) -> bool:
    """Mark an ended job as being deleted; False when the job changed since it was read.

    `at` is the time of the audit entry. `mark` makes the write of a request or a batch happen once.
    """
    by = {"name": actor.name, "role": actor.role, "batch": batch_id}
    by |= {"token_id": actor.token_id, "subject": actor.subject}
    return job_updates.begin_delete(job, by=by, at=at, lease_until=now + LEASE, mark=mark)


def complete(job: JobRecord, *, before: Mapping[str, Any] | None = None) -> None:
    """Record the deletion of a marked job in the audit, remove all of it. Repeating it changes nothing.

    `before`: the job's columns before it was marked, if they are known; the record has lost some. Raises Unavailable
    when the files cannot be removed yet.
    """
    assert job.deleted_at is not None
    by = job.deleted_by
    actor = Actor(by["name"], by["role"], token_id=by.get("token_id"), subject=by.get("subject"))
    after = {"batch": by["batch"]} if by["batch"] else None
    shown = {name: value for name, value in (before or audit.snapshot(job)).items() if name not in INTERNAL_COLUMNS}
    audit.record(actor, "delete", "job", job.job_id, before=shown, after=after, now=job.deleted_at)
    remove_files_logs_and_runs(job)
    job_updates.delete(job)


def remove_files_logs_and_runs(job: JobRecord) -> None:
    """Remove all that belongs to a job but its record. Raises Unavailable when the files cannot be removed yet."""
    try:
        discard_job(s3(), settings().bucket, job.kind, job.job_id)
    except FileNotWritten as error:
        raise Unavailable(f"The files of job {job.job_id} could not be removed yet.") from error
    # Run 0 has the log lines of the job that no run wrote.
    for run_no in range(int(job.run_no) + 1):
        logs.remove(job.job_id, run_no)
        runs.remove(job.job_id, run_no)
