"""What an invariant is: the facts it checks, and the repair that makes it hold again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Facts:
    """A job with its runs as the tables have them: columns are attributes, an absent column is None."""

    job: Any
    # Ascending by run_no. The last may be one that the job does not count yet.
    runs: Sequence[Any]
    now: datetime
    # Derived from the job's id and kind: its shard in the index of leases, and its record's expiry if it ended now.
    lease_shard: int
    expires_at: datetime

    @property
    def last(self) -> Any:
        """The run that holds the job, or held it last; None when there is no record of it."""
        return next((run for run in self.runs if run.run_no == self.job.run_no), None)


@dataclass(frozen=True)
class Repair:
    """Columns to write, of the job and of runs by run_no; None removes a column. Never the job's status."""

    job: Mapping[str, Any] = field(default_factory=dict)
    runs: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    # The one repair that changes the status: cancels the job, as was requested.
    cancel: bool = False


@dataclass(frozen=True)
class Invariant:
    name: str
    meaning: str
    holds: Callable[[Facts], bool]
    # None, or an answer of None: the right values are not known, so a person has to look.
    repair: Callable[[Facts], Repair | None] | None = None


def is_being_deleted(facts: Facts) -> bool:
    """Deletion has begun: `sweep` finishes it. The runs are deleted before the job."""
    return facts.job.deleted_at is not None


def has_expired(facts: Facts) -> bool:
    """Past its retention: DynamoDB removes the job and its runs within days, in no order."""
    return facts.job.expires_at is not None and bool(facts.job.expires_at <= facts.now)
