"""A job that cannot be claimed must not stop the others: workers go on behind it, and the third failure ends it.

Only failures for the job's own sake count, such as a record that cannot grow. An error of a service (throttled, timed
out, access denied) says nothing about the job: it is raised, and SQS delivers the token again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from chalicelib.core.lifecycle import ENDED, JobStatus, Reason
from chalicelib.log import event
from chalicelib.queue import completion
from chalicelib.retrying import SERVICE_ERRORS, code_of
from chalicelib.store import claim_failures, job_transitions, jobs
from chalicelib.store.job_record import JobRecord

# So many claims of one attempt fail before the job ends.
TRIES = 3
# What DynamoDB answers for a write that the record itself does not allow.
OF_THE_RECORD = "ValidationException"
# Characters of an error in the job's record.
SHOWN = 500


def note_failure(job_id: str, error: Exception, *, now: datetime) -> None:
    """Count a claim that failed with this error, and end the job at the third.

    Raises the error where it says nothing about the job, or where the claim was written: `sweep` takes the job up when
    its lease expires.
    """
    if is_of_a_service(error):
        raise error
    job = jobs.find(job_id)
    if job is None or job.status in ENDED:
        return
    if job.status != JobStatus.WAITING:
        raise error
    run_no = int(job.run_no)
    failures = claim_failures.add(job_id, run_no, now=now)
    what = f"{type(error).__name__}: {error}"
    event("job could not be claimed", level="WARN", job_id=job_id, failures=failures, error=what)
    if failures < TRIES:
        return
    message = f"It could not be claimed {failures} times. The last error: {what[:SHOWN]}"
    if completion.end_one_of_many(job, JobStatus.FAILED, Reason.UNCLAIMABLE, message, now=now):
        # The alarm counts this line by its reason.
        event("job left the queue", level="ERROR", job_id=job_id, task_id=job.task_id, reason=Reason.UNCLAIMABLE)
        claim_failures.forget(job_id, run_no)
        completion.after_many_ended([job], now=now)


def readable(job_ids: Sequence[str], *, now: datetime) -> list[JobRecord]:
    """The jobs that exist among these. One whose record this version cannot read counts as one that it cannot claim."""
    try:
        return jobs.get_many(job_ids)
    except jobs.UNREADABLE:
        return [job for job_id in job_ids if (job := read(job_id, now=now)) is not None]


def read(job_id: str, *, now: datetime) -> JobRecord | None:
    """The job; None where there is none, or where its record cannot be read, which counts."""
    try:
        return jobs.find(job_id)
    except jobs.UNREADABLE as error:
        note_unreadable(job_id, error, now=now)
        return None


def note_unreadable(job_id: str, error: Exception, *, now: datetime) -> bool:
    """Count a read that failed; True when it was the third, and ended the job, which waited."""
    failures = claim_failures.add(job_id, 0, now=now)
    what = f"{type(error).__name__}: {error}"
    event("job could not be read", level="WARN", job_id=job_id, failures=failures, error=what)
    message = f"Its record could not be read {failures} times. The last error: {what[:SHOWN]}"
    ended = failures >= TRIES and job_transitions.end_unreadable(job_id, error=message, now=now)
    if ended:
        event("job left the queue", level="ERROR", job_id=job_id, reason=Reason.UNCLAIMABLE)
    return ended


def is_of_a_service(error: Exception) -> bool:
    """Whether an error says that a service failed, not that the job is at fault."""
    return isinstance(error, SERVICE_ERRORS) and code_of(error) != OF_THE_RECORD
