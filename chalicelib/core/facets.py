"""What the filters of job lists compare, as one set of `name=value` that every index of a list carries."""

from __future__ import annotations

from chalicelib.core.lifecycle import ENDED, JobStatus

# The filters that are equalities with a column of the job.
EQUALITIES = (
    "task_id", "kind", "group", "pool", "trigger", "operator", "source_id", "account_id", "action", "reason",
)  # fmt: skip
# The status once ended: open jobs are few, and found by their status' own index.
OUTCOME = "outcome"


def facet(name: str, value: str) -> str:
    return f"{name}={value}"


def facets_of(columns: dict[str, str | None], status: JobStatus) -> set[str]:
    """The facets of a job with these columns (of EQUALITIES; None and empty ones are left out) and this status."""
    found = {facet(name, value) for name in EQUALITIES if (value := columns.get(name))}
    if status in ENDED:
        found.add(facet(OUTCOME, status))
    return found


def folded(name: str) -> str:
    """A name as a search sees it: without case."""
    return name.casefold()
