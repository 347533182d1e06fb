"""Conditions that several writes on a job share."""

from __future__ import annotations

from typing import Any

from pynamodb.expressions.condition import Condition

from chalicelib.core.record_bounds import MARKS_MOST
from chalicelib.store.job_record import JobRecord

# Of a mark that begins with its time (core/ids.py).
ULID_LENGTH = 26


def marked_once(job: JobRecord, mark: str | None, guard: Condition | None) -> tuple[list[Any], Condition | None]:
    """Have a request or a batch write once: the actions leave its mark, and the condition fails where the mark is.

    A job keeps the newest MARKS_MOST: a mark begins with its time, and its request may repeat for a day.
    """
    if mark is None:
        return [], guard
    marks = set(job.acts or ())
    if len(marks) < MARKS_MOST:
        unmarked: Condition = ~JobRecord.acts.contains(mark)
        return [JobRecord.acts.add({mark})], unmarked if guard is None else guard & unmarked
    # Marks that do not begin with a time are of an earlier version.
    kept = sorted(marks, key=lambda each: (len(each) == ULID_LENGTH, each))[1 - MARKS_MOST :]
    as_read: Condition = JobRecord.acts == marks
    if mark in marks:
        as_read &= ~JobRecord.acts.contains(mark)
    return [JobRecord.acts.set({*kept, mark})], as_read if guard is None else guard & as_read


def held_by_run(job: JobRecord) -> Condition:
    """The run that `job` was read with still holds the job's lease."""
    held: Condition = (JobRecord.fence == job.fence) & (JobRecord.run_no == job.run_no)
    return held


def fence_is(fence: str | None) -> Condition:
    same: Condition = JobRecord.fence.does_not_exist() if fence is None else JobRecord.fence == fence
    return same


def as_listed(job: JobRecord) -> Condition:
    """Since `job` was read, no re-run has changed who started it."""
    operator = JobRecord.operator
    same: Condition = operator.does_not_exist() if job.operator is None else operator == job.operator
    same &= JobRecord.trigger == job.trigger
    return same
