"""Windows that follow each other, where the slot before was passed over: the slot that runs takes over its window.

A slot is passed over when the overlap policy skips it, a day off leaves it out, or policy cancels its job. Then no run
exports its window, and the next slot's begins behind it. So at its admission a job looks back along the slots and lets
its window begin where that of the first one passed over does. Their records keep their own windows, which lie in it.
"""

from __future__ import annotations

from datetime import datetime

from chalicelib.core.ids import job_id_of_slot
from chalicelib.core.lifecycle import JobStatus, Reason
from chalicelib.log import event
from chalicelib.store import job_updates, jobs
from chalicelib.store.job_record import JobRecord

PASSED_OVER = frozenset(
    {
        (JobStatus.SKIPPED, Reason.OVERLAP),
        (JobStatus.SKIPPED, Reason.NON_BUSINESS_DAY),
        (JobStatus.CANCELED, Reason.BY_POLICY),
    }
)
# A skipped slot takes over too, so the way back is a step or two. One that is longer leaves a gap that records name.
MOST_STEPS = 1_000


def take_over_windows(job: JobRecord) -> None:
    """Let the window of a job that has not run begin where that of the slots passed over before it does."""
    if not job.follows_previous or job.run_no or job.window_start is None:
        return
    begin = job.window_start
    for _ in range(MOST_STEPS):
        before = _passed_over(job.task_id, begin)
        if before is None:
            break
        begin = before
    if begin < job.window_start and job_updates.widen_window(job, begin):
        event("window taken over", job_id=job.job_id, task_id=job.task_id, window_start=begin)


def _passed_over(task_id: str, slot: datetime) -> datetime | None:
    """Where the window of the slot's job begins, when that was passed over."""
    job = jobs.find(job_id_of_slot(task_id, slot))
    if job is None or (job.status, job.reason) not in PASSED_OVER or job.window_start is None:
        return None
    return job.window_start if job.window_start < slot else None
