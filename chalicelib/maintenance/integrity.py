"""The integrity check, once an hour: it checks the invariants of `core/invariants` on jobs and repairs what is broken.

`sweep` finds jobs whose lease expired; this finds what no lease tells. Three walks over the jobs, each with an entry of
its own in the index that sweep reads (`store/watches.py`):

    open   every job that has not ended, by status
    past   the newest jobs of the timeline, and then a slice of the older ones, going back until all were seen
    early  jobs that ended, with ids older than the months that lists walk, of one status a turn

A turn of a walk takes up to JOBS_PER_TURN jobs of each sort, and the walk goes on with the next sweep, or the next
hour. A job with a broken invariant is read again, since the first read may have met it between two writes. The repair
is a write that holds only while nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from chalicelib import retention
from chalicelib.core.ids import instant_of, months_between, ulid
from chalicelib.core.instants import rfc3339
from chalicelib.core.invariants.facts import Facts, Invariant, Repair
from chalicelib.core.invariants.table import broken
from chalicelib.core.lifecycle import ENDED, JobStatus, cancel_reason
from chalicelib.log import event
from chalicelib.queue import completion
from chalicelib.retrying import RECORD_ERRORS
from chalicelib.store import job_repairs, job_walks, jobs, runs, watches
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.store.watches import Watched

EVERY = timedelta(hours=1)
# The minute of the hour that begins the walks of a new stage.
MINUTE = 23
# Subtracted, so that the walk is due at once: the index gives what is before now.
MOMENT = timedelta(milliseconds=1)
# Jobs of one turn: of the open ones, of the newest, of the older ones.
JOBS_PER_TURN = 200
# The order in which the walk of open jobs takes their statuses. A job that moves to one already walked is left to the
# next walk.
WALK_ORDER = (JobStatus.RUNNING, JobStatus.ASSIGNED, JobStatus.WAITING)


@dataclass
class TurnResult:
    """How many jobs one turn read, and how many broken invariants it found."""

    jobs: int = 0
    repaired: int = 0
    # Those that no program can repair: the log tells people.
    beyond_repair: int = 0
    # Jobs that could not be read, or whose repair failed. The walk goes on; the next one meets them again.
    failed: int = 0


def begin(*, now: datetime) -> None:
    """Make sure, once an hour, that each walk has its entry."""
    if now.minute == MINUTE:
        for walk in WALKS:
            watches.begin(Watched.PATROL, walk, at=now - MOMENT)


def take_turn(walk: str, *, now: datetime) -> TurnResult:
    """Take a walk's next turn, if it is due."""
    entry, result = watches.find(Watched.PATROL, walk), TurnResult()
    if entry is None or entry.lease_until is None or entry.lease_until > now or walk not in WALKS:
        return result
    job_ids, cursor = WALKS[walk](entry.cursor, now)
    for facts in _facts_of_each(job_ids, result, now=now):
        result.jobs += 1
        try:
            if broken(facts):
                _repair_job(facts.job.job_id, result, now=now)
        except RECORD_ERRORS as error:
            _note_failed(facts.job.job_id, result, error)
    # After the work: a process that dies before this has the turn taken again, which changes nothing.
    watches.move_on(entry, cursor=cursor, at=now if walk == OPEN and cursor is not None else now + EVERY)
    event("integrity check", walk=walk, **vars(result))
    return result


# --- the walks --------------------------------------------------------------------------------------------------------

OPEN, PAST, EARLY = "open", "past", "early"


def _open(cursor: str | None, now: datetime) -> tuple[list[str], str | None]:
    """Ids of open jobs behind the cursor (`status/job id`), and the next cursor; None when the walk is over."""
    status, _, after = (cursor or f"{WALK_ORDER[0]}/").partition("/")
    found: list[str] = []
    for at in WALK_ORDER[WALK_ORDER.index(JobStatus(status)) :]:
        found += job_walks.ids_of_status(at, after=after if at == status else "", count=JOBS_PER_TURN - len(found))
        if len(found) == JOBS_PER_TURN:
            return found, f"{at}/{found[-1]}"
    return found, None


def _early(cursor: str | None, now: datetime) -> tuple[list[str], str | None]:
    """Ids of ended jobs older than the months that lists walk, of one status a turn."""
    order = sorted(ENDED)
    status, _, after = (cursor or f"{order[0]}/").partition("/")
    before = ulid(now - retention.longest_life(), "")[:10]
    found = list(job_walks.ids_of_status(JobStatus(status), after=after, count=JOBS_PER_TURN, before=before))
    if len(found) == JOBS_PER_TURN:
        return found, f"{status}/{found[-1]}"
    following = order[order.index(JobStatus(status)) + 1 :]
    return found, f"{following[0]}/" if following else None


def _past(cursor: str | None, now: datetime) -> tuple[list[str], str | None]:
    """Ids of the newest jobs and of older ones before the cursor (a job id), and the next cursor."""
    # The ids of planned slots lie a little in the future.
    newest = list(islice(_back_from(ulid(now + EVERY, ""), now=now), JOBS_PER_TURN))
    begin_at = cursor or (newest[-1] if newest else None)
    older = [] if begin_at is None else list(islice(_back_from(begin_at, now=now), JOBS_PER_TURN))
    return list(dict.fromkeys([*newest, *older])), older[-1] if len(older) == JOBS_PER_TURN else None


def _back_from(job_id: str, *, now: datetime) -> Iterator[str]:
    """Ids before this one, newest first, as far back as records are kept."""
    oldest = now - timedelta(days=retention.longest_days() + 1)
    for month in months_between(oldest, instant_of(job_id)):
        yield from job_walks.ids_of_month(month, before=job_id, count=JOBS_PER_TURN)


Walk = Callable[["str | None", datetime], "tuple[list[str], str | None]"]
WALKS: dict[str, Walk] = {OPEN: _open, PAST: _past, EARLY: _early}


# --- check and repair -------------------------------------------------------------------------------------------------


def _facts_of_each(job_ids: list[str], result: TurnResult, *, now: datetime) -> list[Facts]:
    """The facts of the jobs that can be read. So that one cannot hold up the walk, each is then read by itself."""
    try:
        return list(_facts(job_ids, now=now))
    except RECORD_ERRORS as error:
        if len(job_ids) == 1:
            _note_failed(job_ids[0], result, error)
            return []
    return [facts for job_id in job_ids for facts in _facts_of_each([job_id], result, now=now)]


def _note_failed(job_id: str, result: TurnResult, error: Exception) -> None:
    result.failed += 1
    event("job cannot be checked", level="ERROR", job_id=job_id, error=str(error))


def _facts(job_ids: list[str], *, now: datetime) -> Iterator[Facts]:
    """The jobs that exist among these, with their runs, and the run behind the last one, which none should have."""
    found = jobs.get_many(job_ids) if job_ids else []
    there = job_walks.runs_of((job.job_id, number) for job in found for number in _run_numbers(job))
    for job in found:
        yield _facts_of(job, [run for run in there if run.job_id == job.job_id], now=now)


def _run_numbers(job: JobRecord) -> range:
    return range(1, int(job.run_no) + 2) if job.run_no or job.status != JobStatus.WAITING else range(0)


def _facts_of(job: JobRecord, its_runs: list[RunRecord], *, now: datetime) -> Facts:
    return Facts(
        job=job,
        runs=sorted(its_runs, key=lambda run: int(run.run_no)),
        now=now,
        lease_shard=jobs.lease_shard(job.job_id),
        expires_at=retention.expires_at(job.kind, now),
    )


def read(job_id: str, *, now: datetime) -> Facts | None:
    """A job with its runs as they were at one moment; None when the job is deleted, or changed while it was read."""
    job = jobs.find(job_id)
    if job is None:
        return None
    its_runs = list(runs.newest(job_id, None))
    again = jobs.find(job_id)
    if again is None or again.attribute_values != job.attribute_values:
        return None
    return _facts_of(job, its_runs, now=now)


def _repair_job(job_id: str, result: TurnResult, *, now: datetime) -> None:
    """Repair what is broken, one invariant after the other: the next repair may be computed from the one before."""
    tried: set[str] = set()
    while (facts := read(job_id, now=now)) is not None:
        wrong = next((each for each in broken(facts) if each.name not in tried), None)
        if wrong is None:
            return
        tried.add(wrong.name)
        repair = None if wrong.repair is None else wrong.repair(facts)
        if repair is None:
            result.beyond_repair += 1
            event(
                "invariant broken beyond repair", level="ERROR", job_id=job_id, invariant=wrong.name, says=wrong.meaning
            )
        elif _apply(repair, facts, now=now):
            result.repaired += 1
            _log_repair(wrong, repair, facts)


def _apply(repair: Repair, facts: Facts, *, now: datetime) -> bool:
    job = facts.job
    if repair.cancel:
        reason = cancel_reason(job.cancel_requested_by, job.cancel_by_policy)
        return completion.end_without_run(job, JobStatus.CANCELED, reason, "Cancelled as it was asked for.", now=now)
    known = {int(run.run_no): run for run in facts.runs}
    repaired = [
        job_repairs.repair_run(job.job_id, number, known.get(number), repair.runs[number]) for number in repair.runs
    ]
    return all(repaired) and (not repair.job or job_repairs.repair_job(job, repair.job))


def _log_repair(wrong: Invariant, repair: Repair, facts: Facts) -> None:
    """Log what was repaired: each column, from what to what."""
    known = {int(run.run_no): run for run in facts.runs}
    changes = {name: [_shown(getattr(facts.job, name)), _shown(value)] for name, value in repair.job.items()}
    for number, columns in repair.runs.items():
        for name, value in columns.items():
            changes[f"run {number}: {name}"] = [_shown(getattr(known.get(number), name, None)), _shown(value)]
    if repair.cancel:
        changes["status"] = [JobStatus.WAITING, JobStatus.CANCELED]
    event(
        "invariant repaired",
        level="WARN",
        job_id=facts.job.job_id,
        invariant=wrong.name,
        says=wrong.meaning,
        changes=changes,
    )


def _shown(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    return rfc3339(value) if isinstance(value, datetime) else value
