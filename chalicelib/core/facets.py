"""Facets: what the filters of job lists compare, as one set of `name=value` in every list index."""

from __future__ import annotations

from chalicelib.core.lifecycle import ENDED, JobStatus

# The filters that compare a column of the job with one value.
EQUALITIES = (
    "task_id", "kind", "group", "pool", "trigger", "operator", "source_id", "account_id", "action", "reason",
)  # fmt: skip
# The status of a job that ended otherwise than nearly all do. Open jobs are few, and an index of their own finds them.
OUTCOME = "outcome"
# Nearly all jobs end so. That they did is no facet: to write it would rewrite an entry in each list's index.
USUAL = JobStatus.SUCCEEDED


def facet(name: str, value: str) -> str:
    return f"{name}={value}"


def facets_of(columns: dict[str, str | None], status: JobStatus) -> set[str]:
    """The facets of a job with this status and these columns, of which None and empty ones give no facet."""
    found = {facet(name, value) for name in EQUALITIES if (value := columns.get(name))}
    if status in ENDED and status != USUAL:
        found.add(facet(OUTCOME, status))
    return found


def folded(name: str) -> str:
    """A name without case, as searches compare it."""
    return name.casefold()
