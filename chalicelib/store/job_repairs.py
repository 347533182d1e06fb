"""Repair of records: columns are written only while everything that the repair was computed from is as it was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pynamodb.attributes import Attribute
from pynamodb.expressions.condition import Condition

from chalicelib.store.base import Record, saved, set_or_remove, written
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord

# What a job's other columns follow from: in a move at least one of these changes.
JOB_STATE = ("status", "run_no", "fence", "reason", "enqueued_at", "not_before", "priority", "buffered", "ended_at")
RUN_STATE = ("status", "fence", "ended_at")


def mend_job(job: JobRecord, columns: Mapping[str, Any]) -> bool:
    """Write columns of a job, None to remove one; False when it is not as it was read. Its status is not to be written:
    only a move may."""
    assert "status" not in columns
    return _mend(job, columns, {*JOB_STATE, *columns})


def mend_run(job_id: str, run_no: int, run: RunRecord | None, columns: Mapping[str, Any]) -> bool:
    """Write columns of a run, or record it where it is missing; False when it is not as it was read."""
    if run is None:
        return saved(RunRecord(job_id, run_no, **columns), RunRecord.job_id.does_not_exist())
    return _mend(run, columns, {*RUN_STATE, *columns})


def _mend(record: Record, columns: Mapping[str, Any], as_read: set[str]) -> bool:
    named = {name: getattr(type(record), name) for name in as_read | set(columns)}
    actions = [set_or_remove(named[name], value) for name, value in columns.items()]
    return written(record, actions, _same(named, record, sorted(as_read)))


def _same(columns: Mapping[str, Attribute[Any]], record: Record, names: list[str]) -> Condition:
    condition: Condition | None = None
    for name in names:
        value = getattr(record, name)
        same = columns[name].does_not_exist() if value is None else columns[name] == value
        condition = same if condition is None else condition & same
    assert condition is not None
    return condition
