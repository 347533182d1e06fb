"""How long records live: one number of days per kind of task, for a job, its runs, its files and its logs together.

The tables expire items by an instant that is written into them; the bucket expires objects by a lifecycle rule for each
area and kind, whose days the template takes from the same parameters. S3 rounds an object's end up to the next midnight
UTC, and so do the records, so that neither outlives the other's day.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from chalicelib.core.instants import utc
from chalicelib.settings import settings

DAY = timedelta(days=1)
OPEN_DAYS = 3_650
# A job may wait, run and be tried again this long before the days of its retention begin.
LONGEST_OPEN = timedelta(days=60)

Area = Literal["files", "logs"]


def days_of(kind: str) -> int:
    """How many days what a job of this kind left behind is kept."""
    found = settings()
    return found.retention_days_by_kind.get(kind, found.retention_days)


def longest_days() -> int:
    """No record outlives this many days after its job has ended."""
    found = settings()
    return max(found.retention_days, *found.retention_days_by_kind.values(), 0)


def longest_life() -> timedelta:
    """No job's id is older than this: the days of retention begin anew when a job is run again late in its life."""
    return LONGEST_OPEN + timedelta(days=2 * longest_days())


def expires_at(kind: str, at: datetime) -> datetime:
    """When what was made, or ended, at `at` is gone: the first midnight UTC on or after its last day."""
    end = utc(at) + days_of(kind) * DAY
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == end else midnight + DAY


def while_open(now: datetime) -> datetime:
    """When the runs of a job that is being run again would be gone, should nobody end it: longer than any job waits."""
    return now + OPEN_DAYS * DAY


def prefix(area: Area, kind: str) -> str:
    """Where objects lie that one lifecycle rule expires, without a slash at the end: `logs/<kind>`."""
    return f"{area}/{kind}"
