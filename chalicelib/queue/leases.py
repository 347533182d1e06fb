"""The line of waiting jobs: who looks after a job until it is claimed, and the clocks that run meanwhile.

A waiting job's lease is held by its token in the queue. Should the token be lost, the lease runs out and `sweep` sends
another; each one is given twice the time of the one before, so that a long backlog is not flooded with tokens.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.aws import sqs
from chalicelib.core.lifecycle import Reason
from chalicelib.store.job_record import JobRecord

# How long the first token may take from its due time to a worker before another is sent.
FIRST_LEASE = timedelta(seconds=60)
LONGEST_LEASE = timedelta(hours=1)
# Nobody else may come to let in a job that is parked, or that waits in a pool that was paused: looked at more often.
LONGEST_PARKED = timedelta(minutes=10)
# SQS holds messages back for up to 900 s; the rest is for the sweep's own minute.
LONGEST_DELAY = timedelta(seconds=sqs.DELAY_LIMIT_SECONDS - 60)


def token_lease(
    not_before: datetime, *, now: datetime, tokens_sent: int = 1, longest: timedelta = LONGEST_LEASE
) -> datetime:
    """Until when a job's token may be believed on its way."""
    if not_before - now > LONGEST_DELAY:
        return not_before - FIRST_LEASE
    doublings = min(tokens_sent - 1, 6)
    lease = min(FIRST_LEASE * int(2**doublings), longest)
    return max(not_before, now) + lease


def lease_until(job: JobRecord, promised: datetime) -> datetime:
    """The earlier of the token's promise and the job's own clocks."""
    clocks = [instant for instant in (queue_wait_end(job), deadline(job)) if instant is not None]
    return min([promised, *clocks])


def queue_wait_end(job: JobRecord) -> datetime | None:
    """When the job has waited too long, counted from its due time, and anew for every attempt."""
    limit = job.queue_wait_limit_seconds
    return None if limit is None else max(job.enqueued_at, job.not_before) + timedelta(seconds=int(limit))


def deadline(job: JobRecord) -> datetime | None:
    """When the whole job must be over, counted from the start of its first run."""
    if job.deadline_seconds is None or job.first_started_at is None:
        return None
    return job.first_started_at + timedelta(seconds=int(job.deadline_seconds))


def send_token(job: JobRecord, *, now: datetime) -> None:
    """Send the job's token, unless its time is too far for SQS to hold it: then `sweep` sends it nearer the time."""
    if job.not_before - now <= LONGEST_DELAY:
        sqs.send([(sqs.Token(job.pool, job.job_id), job.not_before)], now=now)


def expired_clock(job: JobRecord, *, now: datetime) -> tuple[Reason, str] | None:
    """Which clock of a waiting job ran out, and the sentence that says so."""
    end = deadline(job)
    if end is not None and end <= now:
        return Reason.DEADLINE, f"The deadline of {job.deadline_seconds} s for the whole job passed between attempts."
    end = queue_wait_end(job)
    if end is not None and end <= now:
        return Reason.QUEUE_WAIT, f"Waited longer than the queue wait limit of {job.queue_wait_limit_seconds} s."
    return None
