"""Runs: the attempts at a job. Worker, cancel and sweep compete to write a run's end, once; the job follows it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pynamodb.attributes import BooleanAttribute, NumberAttribute, TTLAttribute, UnicodeAttribute

from chalicelib.core.bounds import shortened, shrunk
from chalicelib.core.lifecycle import RUN_OPEN, Reason, RunStatus
from chalicelib.core.record_bounds import DEFINITION_BYTES, ERROR_BYTES, SUMMARY_BYTES
from chalicelib.store.base import (
    DocumentAttribute,
    EnumAttribute,
    InstantAttribute,
    Record,
    deleted,
    saved,
    table_name,
    written,
)

# Texts for people, cut to what a record holds.
TEXTS = {"error": ERROR_BYTES, "summary": SUMMARY_BYTES}


class RunRecord(Record):
    class Meta:
        table_name = table_name("runs")

    job_id = UnicodeAttribute(hash_key=True)
    run_no = NumberAttribute(range_key=True)
    status = EnumAttribute(RunStatus)
    reason = EnumAttribute(Reason, null=True)
    # What a person reads: why it failed.
    error = UnicodeAttribute(null=True)
    # Whether another attempt would meet the same error.
    permanent = NumberAttribute(null=True)
    worker = UnicodeAttribute(null=True)
    fence = UnicodeAttribute()
    created_at = InstantAttribute()
    started_at = InstantAttribute(null=True)
    ended_at = InstantAttribute(null=True)
    # When the work of a run that was asked to stop had ended.
    stopped_at = InstantAttribute(null=True)
    # True where the source's server could not be told to end the statement; else absent.
    statement_may_run = BooleanAttribute(null=True)
    rows = NumberAttribute(null=True)
    bytes = NumberAttribute(null=True)
    summary = UnicodeAttribute(null=True)
    files = DocumentAttribute(null=True)
    # What it ran, as its kind told it (kinds/protocol.py).
    definition = DocumentAttribute(null=True)
    # What it cost (worker/metering.py).
    cost = DocumentAttribute(null=True)
    expires_at = TTLAttribute(null=True)


def begin(run: RunRecord) -> bool:
    """Record a run, once it executes; False when it has ended: the sweep may have recorded it in its worker's place."""
    run.status = RunStatus.RUNNING
    if run.definition is not None:
        run.definition = shrunk(run.definition, DEFINITION_BYTES)
    if saved(run, RunRecord.job_id.does_not_exist()):
        return True
    # An earlier call of the same worker whose answer was lost, or another writer.
    there = find(run.job_id, int(run.run_no))
    return there is not None and there.fence == run.fence and there.status in RUN_OPEN


def find(job_id: str, run_no: int) -> RunRecord | None:
    try:
        return RunRecord.get(job_id, run_no, consistent_read=True)
    except RunRecord.DoesNotExist:
        return None


def define(job_id: str, run_no: int, definition: dict[str, Any], *, fence: str) -> bool:
    """Record anew what an open run executes, as its kind says, long texts cut; False when the run has ended."""
    return written(
        RunRecord(job_id, run_no),
        [RunRecord.definition.set(shrunk(definition, DEFINITION_BYTES))],
        (RunRecord.fence == fence) & RunRecord.status.is_in(*sorted(RUN_OPEN)),
    )


def end(run: RunRecord, *, made: bool = False) -> bool:
    """Write a run's end; False when it has one already.

    Makes the record where the worker died between its claim and `begin`. Not when the caller knows that the record
    was `made`: where it is missing then, it was deleted with its job.
    """
    actions: list[Any] = [RunRecord.created_at.set(RunRecord.created_at | run.created_at)]
    for name in (
        "status",
        "reason",
        "error",
        "permanent",
        "worker",
        "ended_at",
        "stopped_at",
        "statement_may_run",
        "rows",
        "bytes",
        "summary",
        "files",
        "cost",
        "expires_at",
    ):
        value = getattr(run, name)
        if name in TEXTS and value is not None:
            value = shortened(value, TEXTS[name])
        if value is not None:
            actions.append(getattr(RunRecord, name).set(value))
    actions.append(RunRecord.fence.set(run.fence))
    unended = (RunRecord.fence == run.fence) & RunRecord.status.is_in(*sorted(RUN_OPEN))
    if not made:
        unended = RunRecord.job_id.does_not_exist() | unended
    return written(RunRecord(run.job_id, run.run_no), actions, unended)


def set_expiry(job_id: str, numbers: Iterable[int], *, until: datetime) -> None:
    """Have the records of these runs expire then. Skips a run whose record was never made or is deleted."""
    for number in numbers:
        written(RunRecord(job_id, number), [RunRecord.expires_at.set(until)], RunRecord.job_id.exists())


def newest(job_id: str, limit: int | None) -> Iterable[RunRecord]:
    return RunRecord.query(job_id, scan_index_forward=False, limit=limit, consistent_read=True)


def remove(job_id: str, run_no: int) -> None:
    deleted(RunRecord(job_id, run_no), None)
