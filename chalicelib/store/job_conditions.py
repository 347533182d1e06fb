"""Conditions that several writes on a job share."""

from __future__ import annotations

from typing import Any

from pynamodb.expressions.condition import Condition

from chalicelib.store.job_record import JobRecord


def marked_once(mark: str | None, guard: Condition | None) -> tuple[list[Any], Condition | None]:
    """Have a request or a batch write once: the actions leave its mark, and the condition fails where the mark is."""
    if mark is None:
        return [], guard
    unmarked: Condition = ~JobRecord.acts.contains(mark)
    return [JobRecord.acts.add({mark})], unmarked if guard is None else guard & unmarked


def held_by_run(job: JobRecord) -> Condition:
    """The run that `job` was read with still holds the job's lease."""
    held: Condition = (JobRecord.fence == job.fence) & (JobRecord.run_no == job.run_no)
    return held


def fence_is(fence: str | None) -> Condition:
    same: Condition = JobRecord.fence.does_not_exist() if fence is None else JobRecord.fence == fence
    return same
