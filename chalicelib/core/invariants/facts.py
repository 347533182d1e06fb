"""What an invariant of the record looks at, and how it says what would make it true again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Facts:
    """A job with its runs as they stand in the tables: columns are attributes, an absent one is None."""

    job: Any
    # By run_no; the last may be one more than the job knows of.
    runs: Sequence[Any]
    now: datetime
    # What its id and kind give: its shard in the index of leases, and when its record expires if it ends now.
    lease_shard: int
    expires_at: datetime

    @property
    def last(self) -> Any:
        """The run that holds the job, or held it last; None when its record is not there."""
        return next((run for run in self.runs if run.run_no == self.job.run_no), None)


@dataclass(frozen=True)
class Mend:
    """Columns to write, None to remove one; of the job, and of runs by run_no. Never the job's status."""

    job: Mapping[str, Any] = field(default_factory=dict)
    runs: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    # The way out where only a move can make it true: the job is canceled, as somebody asked.
    cancel: bool = False


@dataclass(frozen=True)
class Invariant:
    name: str
    says: str
    holds: Callable[[Facts], bool]
    # None, or an answer of None: what would be true is not known.
    mend: Callable[[Facts], Mend | None] | None = None


def is_going(facts: Facts) -> bool:
    """Being deleted: `sweep` looks after it until its record is gone, and its runs go before it."""
    return facts.job.deleted_at is not None


def has_expired(facts: Facts) -> bool:
    """Past its retention: the tables remove it and its runs within days, each in its own time."""
    return facts.job.expires_at is not None and bool(facts.job.expires_at <= facts.now)
