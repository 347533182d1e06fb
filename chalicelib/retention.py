"""How long records are kept: one number of days per kind, for a job, its runs, its files and its logs together.

DynamoDB expires items by an instant in each item. The bucket expires objects by a lifecycle rule per area and kind; the
template takes its days from the same parameters. S3 rounds an object's expiry up to the next midnight UTC, and
`expires_at` does the same, so that a job, its files and its logs expire on the same day.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from chalicelib.core.ids import EARLY_AFTER
from chalicelib.core.instants import utc
from chalicelib.settings import settings

DAY = timedelta(days=1)
OPEN_DAYS = 3_650
# The longest time from a job's creation to its end, its retries included.
LONGEST_OPEN = timedelta(days=60)

Area = Literal["files", "logs"]


def days_of(kind: str) -> int:
    """How many days the records, files and logs of a job of this kind are kept."""
    found = settings()
    return found.retention_days_by_kind.get(kind, found.retention_days)


def longest_days() -> int:
    """The most days that any kind's records are kept after the end of their job."""
    found = settings()
    return max(found.retention_days, *found.retention_days_by_kind.values(), 0)


def longest_life() -> timedelta:
    """The greatest age of a job's id, but for those in `EARLY`. A job run again shortly before it expires is kept twice
    as long."""
    return LONGEST_OPEN + EARLY_AFTER + timedelta(days=2 * longest_days())


def expires_at(kind: str, at: datetime) -> datetime:
    """When the records of a job that ended at `at` expire: the first midnight UTC on or after their last day."""
    end = utc(at) + days_of(kind) * DAY
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == end else midnight + DAY


def while_open(now: datetime) -> datetime:
    """The expiry of the runs of a job that is run again, until its end sets another: longer than any job is open."""
    return now + OPEN_DAYS * DAY


def prefix(area: Area, kind: str) -> str:
    """The prefix of the objects of one lifecycle rule, without a slash at the end: `logs/<kind>`."""
    return f"{area}/{kind}"
