"""What people may do to one job: cancel it, run it again, move it in the line, delete it."""

from __future__ import annotations

from datetime import datetime

from chalicelib import audit, job_logs, line, retention, settle
from chalicelib.actor import Actor
from chalicelib.aws.files import s3
from chalicelib.core.lifecycle import ACTIVE, ENDED, JobStatus, Reason
from chalicelib.errors import WrongState
from chalicelib.exports.keys import discard
from chalicelib.settings import settings
from chalicelib.store import jobs as store
from chalicelib.store import moves
from chalicelib.store import runs as run_store
from chalicelib.store.job_record import JobRecord

# A cancel or a priority may lose a race against the worker; after so many it is told as it is.
TRIES = 5


def cancel(job_id: str, *, actor: Actor, now: datetime) -> JobRecord:
    """End a waiting job at once; ask an active one's worker to stop. Asking twice is no error; an ended job is one."""
    for _ in range(TRIES):
        job = store.get(job_id)
        if job.status in ENDED:
            raise WrongState(f"Job {job_id} has ended: it is {job.status}.")
        message = f"Cancelled by {actor.name} while waiting."
        if job.status in ACTIVE:
            done = moves.request_cancel(job, by=actor.name, now=now)
        else:
            done = settle.drop(job, JobStatus.CANCELED, Reason.BY_USER, message, now=now, by=actor.name)
        if done:
            audit.record(actor, "cancel", "job", job_id, before=None, after={"status": job.status}, now=now)
            return job
    raise WrongState(f"Job {job_id} changes too fast; try again.")


def rerun(job_id: str, *, actor: Actor, now: datetime) -> JobRecord:
    """Put an ended job into the line again, with the same window and parameters."""
    job = store.get(job_id)
    before = job.status
    # The runs of an open job have no end of their own; whoever ends the job gives them one.
    run_store.keep(job_id, range(1, int(job.run_no) + 1), until=retention.while_open(now))
    # The record is about to forget it.
    job_logs.keep_end(job, now=now)
    if before not in ENDED or not moves.rerun(job, now=now, lease_until=line.promise(now, now=now)):
        raise WrongState(f"Job {job_id} is {store.get(job_id).status}; only an ended job can be run again.")
    line.send_token(job, now=now)
    audit.record(actor, "rerun", "job", job_id, before={"status": before}, after={"status": job.status}, now=now)
    return job


def set_priority(job_id: str, priority: int, *, actor: Actor, now: datetime) -> JobRecord:
    """Effective at the next claim."""
    for _ in range(TRIES):
        job = store.get(job_id)
        before = int(job.priority)
        if job.status in ENDED:
            raise WrongState(f"Job {job_id} has ended: it is {job.status}.")
        if moves.set_priority(job, priority):
            change = {"before": {"priority": before}, "after": {"priority": priority}}
            audit.record(actor, "set_priority", "job", job_id, **change, now=now)
            return job
    raise WrongState(f"Job {job_id} changes too fast; try again.")


def delete(job_id: str, *, actor: Actor, now: datetime) -> None:
    """Remove an ended job's record, its runs and its files."""
    job = store.get(job_id)
    if job.status not in ENDED:
        raise WrongState(f"Job {job_id} is {job.status}; only an ended job can be deleted.")
    for run in run_store.newest(job_id, None):
        discard(s3(), settings().bucket, job.kind, job_id, int(run.run_no))
        run.delete()
    if not moves.delete(job):
        raise WrongState(f"Job {job_id} is being run again.")
    audit.record(actor, "delete", "job", job_id, before=audit.snapshot(job), after=None, now=now)
