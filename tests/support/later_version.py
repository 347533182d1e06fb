"""Records that this version cannot read: a later one wrote them, and was taken back."""

from __future__ import annotations

from pynamodb.expressions.operand import Path

from chalicelib.store.job_record import JobRecord


def write_as_a_later_version(job_id: str) -> str:
    """Give the job a trigger that this version has not; the job's id."""
    JobRecord._get_connection().update_item(job_id, actions=[Path("trigger").set("of_a_later_version")])
    return job_id
