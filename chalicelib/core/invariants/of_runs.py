"""What is true of a job and its runs together, at every moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib.core.invariants.facts import Facts, Invariant, Mend, has_expired, is_going
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


def _numbered(facts: Facts) -> bool:
    """While a job is active its last run may not be recorded yet: the claim comes first."""
    numbers = [run.run_no for run in facts.runs]
    known = int(facts.job.run_no)
    counts = {known, known - 1} if facts.job.status in ACTIVE else {known}
    return len(numbers) in counts and numbers == list(range(1, len(numbers) + 1))


def _number(facts: Facts) -> Mend | None:
    """Runs that are missing: what the job says of its last, and of the others that they are lost."""
    job = facts.job
    there = {int(run.run_no) for run in facts.runs}
    missing = {number: _lost_run(facts) for number in range(1, int(job.run_no) + 1) if number not in there}
    if job.status in ACTIVE:
        missing.pop(int(job.run_no), None)
    if job.status == JobStatus.SUCCEEDED and job.run_no in missing:
        kept = {name: getattr(job, name) for name in ("rows", "bytes", "summary", "files", "worker")}
        missing[int(job.run_no)] |= {"status": RunStatus.SUCCEEDED, "reason": None, "error": None, **kept}
    return Mend(runs=missing) if missing else None


def _lost_run(facts: Facts) -> dict[str, Any]:
    at = facts.job.ended_at or facts.now
    return {
        "status": RunStatus.FAILED, "reason": Reason.UNKNOWN_ERROR, "error": LOST, "fence": "lost",
        "created_at": at, "ended_at": at, "expires_at": facts.job.expires_at,
    }  # fmt: skip


def _left_open(facts: Facts) -> list[Any]:
    """Runs without an end that nobody can give one any more."""
    held = facts.job.run_no if facts.job.status in ACTIVE else None
    return [run for run in facts.runs if run.status in RUN_OPEN and run.run_no != held]


def _end_runs(facts: Facts) -> Mend:
    job, ends = facts.job, {}
    for run in _left_open(facts):
        won = job.status == JobStatus.SUCCEEDED and run.run_no == job.run_no
        end = {"status": RunStatus.SUCCEEDED, "files": job.files} if won else {"status": RunStatus.FAILED}
        why = {} if won else {"reason": Reason.WORKER_LOST, "error": LOST}
        ends[int(run.run_no)] = {**end, **why, "ended_at": job.ended_at or facts.now}
    return Mend(runs=ends)


def _mistimed(facts: Facts) -> list[Any]:
    return [run for run in facts.runs if (run.status in RUN_ENDED) != (run.ended_at is not None)]


def _time_runs(facts: Facts) -> Mend:
    at = facts.job.ended_at or facts.now
    return Mend(
        runs={int(run.run_no): {"ended_at": at if run.status in RUN_ENDED else None} for run in _mistimed(facts)}
    )


def _with_files(facts: Facts) -> list[Any]:
    return [run for run in facts.runs if run.files and run.status != RunStatus.SUCCEEDED]


def _files(facts: Facts) -> Any:
    """What the job is to show: the files of its newest success; until there is another they stay."""
    # A run of an active job that has just succeeded is published by the write that ends the job.
    over = [run for run in facts.runs if facts.job.status not in ACTIVE or run.run_no != facts.job.run_no]
    return next((run.files for run in reversed(over) if run.status == RunStatus.SUCCEEDED), None)


def _same_fence(facts: Facts) -> bool:
    last = facts.last
    return facts.job.status not in ACTIVE or last is None or last.fence == facts.job.fence


# How a job may have ended whose last run did so; a run that was not made since the last re-run says nothing.
_ENDS: dict[RunStatus, frozenset[JobStatus]] = {
    RunStatus.SUCCEEDED: frozenset({JobStatus.SUCCEEDED}),
    RunStatus.FAILED: ENDED - {JobStatus.SUCCEEDED},
    RunStatus.CANCELED: frozenset({JobStatus.CANCELED, JobStatus.TIMED_OUT}),
}
_WITHOUT_A_RUN = TRANSITIONS[Move.END_WITHOUT_RUN][1]


def _follows_run(facts: Facts) -> bool:
    job, last = facts.job, facts.last
    if job.status in ACTIVE:
        return True
    if job.status == JobStatus.WAITING:
        return not job.attempts_spent or last is None or last.status not in (RunStatus.SUCCEEDED, RunStatus.CANCELED)
    if not job.attempts_spent:
        return job.status in _WITHOUT_A_RUN
    return last is None or last.status in RUN_OPEN or job.status in _ENDS[last.status]


def of_kept_runs(holds: Callable[[Facts], bool]) -> Callable[[Facts], bool]:
    """A job that is being deleted, or has expired, may have lost its runs already."""
    return lambda facts: is_going(facts) or has_expired(facts) or holds(facts)


OF_ITS_RUNS: tuple[Invariant, ...] = (
    Invariant(
        "runs_are_numbered",
        "A job has as many runs as it was claimed, numbered from 1; an active one's last may not be recorded yet.",
        of_kept_runs(_numbered),
        _number,
    ),
    Invariant(
        "runs_come_to_an_end",
        "Every run has ended but the one that holds an active job.",
        of_kept_runs(lambda f: not _left_open(f)),
        _end_runs,
    ),
    Invariant(
        "a_run_says_when_it_ended",
        "A run has an instant of its end when, and only when, it has ended.",
        of_kept_runs(lambda f: not _mistimed(f)),
        _time_runs,
    ),
    Invariant(
        "files_are_of_success",
        "Only a run that succeeded has files.",
        of_kept_runs(lambda f: not _with_files(f)),
        lambda f: Mend(runs={int(run.run_no): {"files": None} for run in _with_files(f)}),
    ),
    Invariant(
        "a_job_shows_its_newest_files",
        "A job's files are those of the newest run that succeeded.",
        of_kept_runs(lambda f: (f.job.files or None) == (_files(f) or None)),
        lambda f: Mend({"files": _files(f)}),
    ),
    Invariant(
        "the_fence_is_the_run's",
        "An active job and the run that holds it have the same fence.",
        of_kept_runs(_same_fence),
    ),
    Invariant(
        "a_job_follows_its_run",
        "A job ended as its last run did, or without one; and none waits behind a success.",
        of_kept_runs(_follows_run),
    ),
)
