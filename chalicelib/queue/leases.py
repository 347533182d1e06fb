"""Leases of waiting and of running jobs, and the clocks that run while a job waits.

While a job waits, its token in SQS holds its lease. When a token is lost, the lease expires and `sweep` sends another
token. Each lease is twice as long as the one before, so that a long backlog is not flooded with tokens.

While a job runs, its worker holds its lease, and renews it (`worker/held_lease.py`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.aws import sqs
from chalicelib.core.lifecycle import Reason
from chalicelib.store.job_record import JobRecord

# The time that the first token has, from the job's due time, to reach a worker.
FIRST_LEASE = timedelta(seconds=60)
LONGEST_LEASE = timedelta(hours=1)
# Shorter for a job that is parked, or whose pool was paused: perhaps only `sweep` is left to release it.
LONGEST_PARKED = timedelta(minutes=10)
# SQS delays a message by at most 900 s; one minute of them is for `sweep`, which runs once a minute.
LONGEST_DELAY = timedelta(seconds=sqs.DELAY_LIMIT_SECONDS - 60)

# A worker's lease. `sweep` comes each minute: a lost worker is found after 105 s at most, and its job runs again within
# two minutes.
WORKER_LEASE = timedelta(seconds=45)
# A run shorter than this writes no renewal. From here on a renewal that fails is tried each second for 20 s.
RENEW_EVERY = timedelta(seconds=20)
# A worker whose lease was not renewed stops its run so long before the lease ends: room for two clocks that differ.
STOP_BEFORE = timedelta(seconds=5)
# No lease outlasts its worker's function by more: time for its last writes to arrive.
LEASE_MARGIN = timedelta(seconds=30)


def longest_lease(worker_until: datetime) -> datetime:
    """When the last lease of a worker ends whose function ends at `worker_until`."""
    return worker_until + LEASE_MARGIN


def worker_lease(worker_until: datetime, *, now: datetime) -> datetime:
    """Until when a worker that lives now may be believed alive."""
    return min(now + WORKER_LEASE, longest_lease(worker_until))


def token_lease(
    not_before: datetime, *, now: datetime, tokens_sent: int = 1, longest: timedelta = LONGEST_LEASE
) -> datetime:
    """The instant from which a job's token counts as lost: `tokens_sent` of them have been sent for this attempt."""
    if not_before - now > LONGEST_DELAY:
        return not_before - FIRST_LEASE
    doublings = min(tokens_sent - 1, 6)
    lease = min(FIRST_LEASE * int(2**doublings), longest)
    return max(not_before, now) + lease


def lease_until(job: JobRecord, token_until: datetime) -> datetime:
    """When the lease of a waiting job expires: with its token's, or earlier, when one of its clocks runs out."""
    clocks = [instant for instant in (queue_wait_end(job), deadline(job)) if instant is not None]
    return min([token_until, *clocks])


def queue_wait_end(job: JobRecord) -> datetime | None:
    """When the queue wait limit is reached; it counts from the job's due time, and anew for each attempt."""
    limit = job.queue_wait_limit_seconds
    return None if limit is None else max(job.enqueued_at, job.not_before) + timedelta(seconds=int(limit))


def deadline(job: JobRecord) -> datetime | None:
    """When the whole job must be over; `deadline_seconds` counts from the start of its first run."""
    if job.deadline_seconds is None or job.first_started_at is None:
        return None
    return job.first_started_at + timedelta(seconds=int(job.deadline_seconds))


def send_token(job: JobRecord, *, now: datetime) -> None:
    """Send the job's token. `sweep` sends it later where the job's time is farther off than SQS can delay a message."""
    if job.not_before - now <= LONGEST_DELAY:
        sqs.send([(token_of(job), job.not_before)], now=now)


def token_of(job: JobRecord) -> sqs.Token:
    return sqs.Token(job.pool, job.job_id, job.task_id, job.not_before)


def expired_clock(job: JobRecord, *, now: datetime) -> tuple[Reason, str] | None:
    """The clock of a waiting job that ran out, as a reason and a sentence; None while none has."""
    end = deadline(job)
    if end is not None and end <= now:
        return Reason.DEADLINE, f"The deadline of {job.deadline_seconds} s for the whole job passed between attempts."
    end = queue_wait_end(job)
    if end is not None and end <= now:
        return Reason.QUEUE_WAIT, f"Waited longer than the queue wait limit of {job.queue_wait_limit_seconds} s."
    return None
