"""Whether the windows of a task's slots tile the time line: each instant is exported once, or a record names the gap.

The slots of a task whose window is `since_previous_fire` are put in order, each by the last record that its job had:

    ran          a run worked on it; of two such windows none overlaps the other
    named gap    it ended without a run, and its record says why: missed, cancelled by a person, waited too long
    passed over  skipped by the overlap policy or a day off, or cancelled by policy: the next slot that runs covers it

People may run a job again after a later one has covered its window: what was run again may overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from chalicelib.core.ids import job_id_of_slot
from chalicelib.core.lifecycle import JobStatus, Reason, Trigger
from chalicelib.store.job_record import JobRecord

Span = tuple[datetime, datetime]
PASSED_OVER = {
    (JobStatus.SKIPPED, Reason.OVERLAP),
    (JobStatus.SKIPPED, Reason.NON_BUSINESS_DAY),
    (JobStatus.CANCELED, Reason.BY_POLICY),
}


@dataclass(frozen=True)
class Slot:
    """What the record says of one slot in the end."""

    at: datetime
    window: Span
    ran: bool
    passed_over: bool
    rerun: bool


def slots_of(task_id: str, jobs: Iterable[JobRecord], *, union: bool) -> list[Slot]:
    """The slots of a task in order. With `union` the slot that runs covers those missed before it."""
    found = []
    for job in jobs:
        if job.task_id != task_id or job.job_id != job_id_of_slot(task_id, job.scheduled_for) or not job.window_start:
            continue
        by_policy = (job.status, job.reason) in PASSED_OVER
        passed_over = by_policy or (union and job.status == JobStatus.MISSED)
        ran = job.run_no > 0 and not by_policy
        window = (job.window_start, job.window_end)
        found.append(Slot(job.scheduled_for, window, ran, passed_over, job.trigger == Trigger.RERUN))
    return sorted(found, key=lambda slot: slot.at)


def untiled(slots: Sequence[Slot], *, begin: datetime) -> list[str]:
    """What is wrong with the windows, from where the task's first window begins to its last slot that is not passed
    over."""
    ran = sorted(slot.window for slot in slots if slot.ran and not slot.rerun)
    wrong = [f"{_text(a)} and {_text(b)} overlap" for a, b in pairwise(ran) if b[0] < a[1]]
    covered, until, waiting = [], begin, []
    for slot in slots:
        if slot.passed_over and not slot.rerun:
            waiting.append(slot.window)
            continue
        covered.append(slot.window)
        until = slot.at
        if not slot.ran or slot.rerun:
            # No run covers these; their own records name them.
            covered += waiting
        waiting = []
    for start, end in _gaps(covered, (begin, until)):
        wrong.append(f"no job covers, and no record names, {_text((start, end))}")
    return wrong


def _gaps(covered: Iterable[Span], whole: Span) -> list[Span]:
    at, end = whole
    gaps = []
    for start, stop in sorted(covered):
        if start > at:
            gaps.append((at, min(start, end)))
        at = max(at, stop)
    if at < end:
        gaps.append((at, end))
    return [(start, stop) for start, stop in gaps if start < stop]


def _text(span: Span) -> str:
    return f"{span[0]:%d %H:%M:%S} - {span[1]:%d %H:%M:%S}"
