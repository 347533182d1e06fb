"""How often a job could not be claimed: an item of its own, since the job's record may be what cannot be written.

It stands in the jobs table under an id that no job can have, and in no index. It is of one attempt: each claim gives
the job a new run number.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pynamodb.attributes import NumberAttribute, TTLAttribute, UnicodeAttribute

from chalicelib.store.base import Record, table_name, written

# By then the job was claimed, or has ended: no token is resent later than an hour after the one before.
KEPT = timedelta(days=2)


class ClaimFailureRecord(Record):
    class Meta:
        table_name = table_name("jobs")

    job_id = UnicodeAttribute(hash_key=True)
    failures = NumberAttribute(null=True)
    expires_at = TTLAttribute(null=True)


def add(job_id: str, run_no: int, *, now: datetime) -> int:
    """Count one more claim of this attempt that failed; how many there are."""
    record = ClaimFailureRecord(_entry_id(job_id, run_no))
    failures = ClaimFailureRecord.failures
    written(record, [failures.set((failures | 0) + 1), ClaimFailureRecord.expires_at.set(now + KEPT)], None)
    return int(record.failures)


def forget(job_id: str, run_no: int) -> None:
    """Begin to count anew: the job has ended, and a person may run it again."""
    record = ClaimFailureRecord(_entry_id(job_id, run_no))
    written(record, [ClaimFailureRecord.failures.remove()], ClaimFailureRecord.failures.exists())


def _entry_id(job_id: str, run_no: int) -> str:
    # Ids in the API have no full stop.
    return f"unclaimed.{job_id}.{run_no}"
