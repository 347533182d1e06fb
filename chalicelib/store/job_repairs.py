"""Repairs that the integrity check computes. Each write holds only while what it was computed from has not changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pynamodb.attributes import Attribute
from pynamodb.expressions.condition import Condition

from chalicelib.store.base import Record, saved, set_or_remove, written
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord

# What the other columns of a job or a run follow from: every transition changes at least one of these.
JOB_STATE = ("status", "run_no", "fence", "reason", "enqueued_at", "not_before", "priority", "buffered", "ended_at")
RUN_STATE = ("status", "fence", "ended_at")


def repair_job(job: JobRecord, columns: Mapping[str, Any]) -> bool:
    """Write columns of a job, None to remove one; False when the job is no longer as it was read.

    Never its status, which only a transition writes.
    """
    assert "status" not in columns
    return _write_if_as_read(job, columns, {*JOB_STATE, *columns})


def repair_run(job_id: str, run_no: int, run: RunRecord | None, columns: Mapping[str, Any]) -> bool:
    """Write columns of a run, or record it where it is missing; False when it is no longer as it was read."""
    if run is None:
        return saved(RunRecord(job_id, run_no, **columns), RunRecord.job_id.does_not_exist())
    return _write_if_as_read(run, columns, {*RUN_STATE, *columns})


def _write_if_as_read(record: Record, columns: Mapping[str, Any], as_read: set[str]) -> bool:
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
