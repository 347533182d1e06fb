"""Proof, once an hour: the invariants of the record (`core/invariants`), checked on jobs old and new, and mended.

`sweep` looks after jobs whose lease ran out; this finds what no lease tells. Two walks, each with its entry in the
index that sweep reads:

    open   every job that has not ended, by status
    past   the newest jobs of the timeline, and then a slice of the older ones, going back until all were seen

A turn of a walk takes so many jobs, and the walk goes on with the next sweep, or the next hour. What is broken is read
again, since it may only have been on its way, and mended by a write that holds only while nothing has changed.
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
from chalicelib.core.lifecycle import JobStatus, cancel_reason
from chalicelib.log import event
from chalicelib.queue import completion
from chalicelib.store import job_repairs, jobs, patrols, runs
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord

EVERY = timedelta(hours=1)
# The minute of the hour that begins the walks of a new stage.
MINUTE = 23
# A turn is due when its instant is past.
MOMENT = timedelta(milliseconds=1)
# Jobs of one turn: of the open ones, of the newest, of the older ones.
JOBS_PER_TURN = 200
# Open jobs in the order of their walk, which is that of their lives: none slips through from behind to before it.
WALKED = (JobStatus.RUNNING, JobStatus.ASSIGNED, JobStatus.WAITING)


@dataclass
class Checked:
    """What one turn found."""

    jobs: int = 0
    mended: int = 0
    # Broken invariants that no program can repair: people are to look.
    beyond_repair: int = 0


def begin(*, now: datetime) -> None:
    """Make sure, once an hour, that the walks are looked after."""
    if now.minute == MINUTE:
        for walk in WALKS:
            patrols.begin(walk, at=now - MOMENT)


def turn(walk: str, *, now: datetime) -> Checked:
    """Take a walk's next turn, if it is due."""
    entry, done = patrols.find(walk), Checked()
    if entry is None or entry.lease_until is None or entry.lease_until > now or walk not in WALKS:
        return done
    job_ids, cursor = WALKS[walk](entry.cursor, now)
    for facts in _facts(job_ids, now=now):
        done.jobs += 1
        if broken(facts):
            _mend_job(facts.job.job_id, done, now=now)
    # Behind the work: who dies before this does it again, which changes nothing.
    patrols.go_on(entry, cursor=cursor, at=now if walk == OPEN and cursor is not None else now + EVERY)
    event("patrol", walk=walk, **vars(done))
    return done


# --- the walks --------------------------------------------------------------------------------------------------------

OPEN, PAST = "open", "past"


def _open(cursor: str | None, now: datetime) -> tuple[list[str], str | None]:
    """Ids of open jobs behind the cursor (`status/job id`), and the next cursor; None when the walk is over."""
    status, _, after = (cursor or f"{WALKED[0]}/").partition("/")
    found: list[str] = []
    for at in WALKED[WALKED.index(JobStatus(status)) :]:
        found += patrols.ids_of_status(at, after=after if at == status else "", count=JOBS_PER_TURN - len(found))
        if len(found) == JOBS_PER_TURN:
            return found, f"{at}/{found[-1]}"
    return found, None


def _past(cursor: str | None, now: datetime) -> tuple[list[str], str | None]:
    """Ids of the newest jobs and of older ones before the cursor (a job id), and the next cursor."""
    # Slots are planned a moment ahead.
    newest = list(islice(_back_from(ulid(now + EVERY, ""), now=now), JOBS_PER_TURN))
    begin_at = cursor or (newest[-1] if newest else None)
    older = [] if begin_at is None else list(islice(_back_from(begin_at, now=now), JOBS_PER_TURN))
    return list(dict.fromkeys([*newest, *older])), older[-1] if len(older) == JOBS_PER_TURN else None


def _back_from(job_id: str, *, now: datetime) -> Iterator[str]:
    """Ids before this one, newest first, as far back as records are kept."""
    oldest = now - timedelta(days=retention.longest_days() + 1)
    for month in months_between(oldest, instant_of(job_id)):
        yield from patrols.ids_of_month(month, before=job_id, count=JOBS_PER_TURN)


Walk = Callable[["str | None", datetime], "tuple[list[str], str | None]"]
WALKS: dict[str, Walk] = {OPEN: _open, PAST: _past}


# --- proof and repair -------------------------------------------------------------------------------------------------


def _facts(job_ids: list[str], *, now: datetime) -> Iterator[Facts]:
    """The jobs that exist among these, with their runs and the one that each must not have."""
    found = jobs.get_many(job_ids) if job_ids else []
    there = patrols.runs_of((job.job_id, number) for job in found for number in _run_numbers(job))
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
    """A job with its runs as they are together; None when it is gone, or moved while it was read."""
    job = jobs.find(job_id)
    if job is None:
        return None
    its_runs = list(runs.newest(job_id, None))
    again = jobs.find(job_id)
    if again is None or again.attribute_values != job.attribute_values:
        return None
    return _facts_of(job, its_runs, now=now)


def _mend_job(job_id: str, done: Checked, *, now: datetime) -> None:
    """Repair what is broken, one invariant after the other: a repair may be what the next one is computed from."""
    tried: set[str] = set()
    while (facts := read(job_id, now=now)) is not None:
        wrong = next((each for each in broken(facts) if each.name not in tried), None)
        if wrong is None:
            return
        tried.add(wrong.name)
        repair = None if wrong.repair is None else wrong.repair(facts)
        if repair is None:
            done.beyond_repair += 1
            event(
                "invariant broken beyond repair", level="ERROR", job_id=job_id, invariant=wrong.name, says=wrong.meaning
            )
        elif _apply(repair, facts, now=now):
            done.mended += 1
            _log_repair(wrong, repair, facts)


def _apply(repair: Repair, facts: Facts, *, now: datetime) -> bool:
    job = facts.job
    if repair.cancel:
        reason = cancel_reason(job.cancel_requested_by)
        return completion.end_without_run(job, JobStatus.CANCELED, reason, "Cancelled as it was asked for.", now=now)
    known = {int(run.run_no): run for run in facts.runs}
    mended = [
        job_repairs.mend_run(job.job_id, number, known.get(number), repair.runs[number]) for number in repair.runs
    ]
    return all(mended) and (not repair.job or job_repairs.mend_job(job, repair.job))


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
