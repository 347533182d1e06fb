"""Invariants of a job and its runs together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib.core.invariants.facts import Facts, Invariant, Repair, has_expired, is_being_deleted
from chalicelib.core.lifecycle import (
    ACTIVE,
    ENDED,
    RUN_ENDED,
    RUN_OPEN,
    TRANSITIONS,
    JobStatus,
    Move,
    Reason,
    RunStatus,
)

LOST = "What became of this run was not recorded."


def _runs_are_numbered(facts: Facts) -> bool:
    """The run of an active job may not be recorded yet: the claim is written before the run."""
    numbers = [run.run_no for run in facts.runs]
    known = int(facts.job.run_no)
    counts = {known, known - 1} if facts.job.status in ACTIVE else {known}
    return len(numbers) in counts and numbers == list(range(1, len(numbers) + 1))


def _record_missing_runs(facts: Facts) -> Repair | None:
    """Record missing runs: the last with what the job knows of it, the others as lost."""
    job = facts.job
    there = {int(run.run_no) for run in facts.runs}
    missing = {number: _lost_run(facts) for number in range(1, int(job.run_no) + 1) if number not in there}
    if job.status in ACTIVE:
        missing.pop(int(job.run_no), None)
    if job.status == JobStatus.SUCCEEDED and job.run_no in missing:
        kept = {name: getattr(job, name) for name in ("rows", "bytes", "summary", "files", "worker")}
        missing[int(job.run_no)] |= {"status": RunStatus.SUCCEEDED, "reason": None, "error": None, **kept}
    return Repair(runs=missing) if missing else None


def _lost_run(facts: Facts) -> dict[str, Any]:
    at = facts.job.ended_at or facts.now
    return {
        "status": RunStatus.FAILED, "reason": Reason.UNKNOWN_ERROR, "error": LOST, "fence": "lost",
        "created_at": at, "ended_at": at, "expires_at": facts.job.expires_at,
    }  # fmt: skip


def _orphans(facts: Facts) -> list[Any]:
    """Open runs that no worker holds: none will record their end."""
    held = facts.job.run_no if facts.job.status in ACTIVE else None
    return [run for run in facts.runs if run.status in RUN_OPEN and run.run_no != held]


def _end_runs(facts: Facts) -> Repair:
    job, ends = facts.job, {}
    for run in _orphans(facts):
        won = job.status == JobStatus.SUCCEEDED and run.run_no == job.run_no
        end = {"status": RunStatus.SUCCEEDED, "files": job.files} if won else {"status": RunStatus.FAILED}
        why = {} if won else {"reason": Reason.WORKER_LOST, "error": LOST}
        ends[int(run.run_no)] = {**end, **why, "ended_at": job.ended_at or facts.now}
    return Repair(runs=ends)


def _runs_with_wrong_end(facts: Facts) -> list[Any]:
    return [run for run in facts.runs if (run.status in RUN_ENDED) != (run.ended_at is not None)]


def _fix_end_times(facts: Facts) -> Repair:
    at = facts.job.ended_at or facts.now
    return Repair(
        runs={
            int(run.run_no): {"ended_at": at if run.status in RUN_ENDED else None}
            for run in _runs_with_wrong_end(facts)
        }
    )


def _failed_with_files(facts: Facts) -> list[Any]:
    return [run for run in facts.runs if run.files and run.status != RunStatus.SUCCEEDED]


def _newest_files(facts: Facts) -> Any:
    """The files that the job should show: those of its newest successful run."""
    # The files of a run that has just succeeded are published by the write that ends the job.
    over = [run for run in facts.runs if facts.job.status not in ACTIVE or run.run_no != facts.job.run_no]
    return next((run.files for run in reversed(over) if run.status == RunStatus.SUCCEEDED), None)


def _same_fence(facts: Facts) -> bool:
    last = facts.last
    return facts.job.status not in ACTIVE or last is None or last.fence == facts.job.fence


# The status of a run -> the statuses in which its job may have ended. Runs before the last re-run do not count.
_ENDS: dict[RunStatus, frozenset[JobStatus]] = {
    RunStatus.SUCCEEDED: frozenset({JobStatus.SUCCEEDED}),
    RunStatus.FAILED: ENDED - {JobStatus.SUCCEEDED},
    RunStatus.CANCELED: frozenset({JobStatus.CANCELED, JobStatus.TIMED_OUT}),
}
_WITHOUT_A_RUN = TRANSITIONS[Move.END_WITHOUT_RUN][1]


def _matches_last_run(facts: Facts) -> bool:
    job, last = facts.job, facts.last
    if job.status in ACTIVE:
        return True
    if job.status == JobStatus.WAITING:
        return not job.attempts_spent or last is None or last.status not in (RunStatus.SUCCEEDED, RunStatus.CANCELED)
    if not job.attempts_spent:
        return job.status in _WITHOUT_A_RUN
    return last is None or last.status in RUN_OPEN or job.status in _ENDS[last.status]


def if_runs_are_kept(holds: Callable[[Facts], bool]) -> Callable[[Facts], bool]:
    """The check, for jobs that still have all runs: one that is being deleted or has expired may have lost some."""
    return lambda facts: is_being_deleted(facts) or has_expired(facts) or holds(facts)


RUN_INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "runs_are_numbered",
        "A job has one run per claim, numbered from 1; that of an active job may not be recorded yet.",
        if_runs_are_kept(_runs_are_numbered),
        _record_missing_runs,
    ),
    Invariant(
        "only_active_run_is_open",
        "Every run has ended, except the one that holds an active job.",
        if_runs_are_kept(lambda f: not _orphans(f)),
        _end_runs,
    ),
    Invariant(
        "ended_run_has_time",
        "An ended run has the time of its end, and no other run has one.",
        if_runs_are_kept(lambda f: not _runs_with_wrong_end(f)),
        _fix_end_times,
    ),
    Invariant(
        "only_successful_runs_have_files",
        "Only a run that succeeded has files.",
        if_runs_are_kept(lambda f: not _failed_with_files(f)),
        lambda f: Repair(runs={int(run.run_no): {"files": None} for run in _failed_with_files(f)}),
    ),
    Invariant(
        "job_shows_newest_files",
        "A job's files are those of the newest run that succeeded.",
        if_runs_are_kept(lambda f: (f.job.files or None) == (_newest_files(f) or None)),
        lambda f: Repair({"files": _newest_files(f)}),
    ),
    Invariant(
        "fence_matches_run",
        "An active job and the run that holds it have the same fencing token.",
        if_runs_are_kept(_same_fence),
    ),
    Invariant(
        "job_matches_last_run",
        "A job ended as its last run did, or without a run; and no job waits after a success.",
        if_runs_are_kept(_matches_last_run),
    ),
)
