"""Records as large as the emulator takes them."""

from __future__ import annotations

from chalicelib.errors import RecordTooLarge
from chalicelib.store.base import written
from chalicelib.store.job_record import JobRecord

# An item of DynamoDB, and a little more than the emulators take.
MOST = 411_000


def fill_up(job: JobRecord, *, leaving: int = 0) -> JobRecord:
    """Give the job so large a spec that its record has room for no more than `leaving` bytes; the job as written."""
    fits, too_much = 0, MOST
    while too_much - fits > 1:
        tried = (fits + too_much) // 2
        if _padded(job, tried):
            fits = tried
        else:
            too_much = tried
    assert _padded(job, fits - leaving)
    return job


def _padded(job: JobRecord, size: int) -> bool:
    try:
        return written(job, [JobRecord.spec.set({"pad": "x" * size})], None)
    except RecordTooLarge:
        return False
