"""Pools: the named queues of waiting jobs, their numbers, and pausing one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.aws import sqs
from chalicelib.core.lifecycle import OPEN
from chalicelib.core.queue_keys import keys_to_read
from chalicelib.errors import PoolNotFound, StaleRevision
from chalicelib.log import event
from chalicelib.store import jobs, tasks
from chalicelib.store import pools as store
from chalicelib.store.job_lists import open_counts
from chalicelib.store.pools import PoolRecord
from chalicelib.store.revisions import again_when_overtaken

# The pool of the worker Lambda: there is always one.
CLOUD = "cloud"
STATUSES = ("waiting", "assigned", "running")
# When a pool is resumed, at most so many tokens are sent; `sweep` sends those of the jobs behind within ten minutes.
TOKENS_ON_RESUME = 1_000


def counts() -> list[dict[str, Any]]:
    """The numbers of waiting, assigned and running jobs of each pool and kind that has any.

    They are exact, except that the index lags a moment behind the last writes.
    """
    found = open_counts()
    pairs = sorted({(pool, kind) for pool, kind, _ in found})
    return [
        {"pool": pool, "kind": kind, **{status.value: found[pool, kind, status] for status in sorted(OPEN)}}
        for pool, kind in pairs
    ]


def everything() -> list[dict[str, Any]]:
    """Every pool that has a record, or that a task or an open job names, with its numbers of jobs, by name."""
    records = {record.pool_id: record for record in store.everything()}
    counted = _counts_by_pool()
    names = {CLOUD, *records, *counted, *(task.pool for task in tasks.everything())}
    return [_shown(name, records.get(name), counted) for name in sorted(names)]


def get(pool_id: str) -> dict[str, Any]:
    found = next((pool for pool in everything() if pool["pool_id"] == pool_id), None)
    if found is None:
        raise PoolNotFound(f"There is no pool {pool_id}.")
    return found


@again_when_overtaken
def patch(
    pool_id: str, changes: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime
) -> dict[str, Any]:
    """Change a pool's `paused`, `description` or `note`. Raises PoolNotFound, StaleRevision.

    From the next claim on, no worker claims from a paused pool; its jobs wait on, and their clocks run.
    """
    get(pool_id)
    pool = store.find(pool_id)
    known = 0 if pool is None else int(pool.revision)
    if revision is not None and revision != known:
        raise StaleRevision(f"The pool was edited since: its revision is {known}, not {revision}.")
    pool = pool or PoolRecord(pool_id)
    before, was_paused = audit.snapshot(pool) if known else None, pool.paused
    for name, value in changes.items():
        setattr(pool, name, value)
    store.put(pool, expected_revision=known, now=now)
    audit.record(actor, "update", "pool", pool_id, before=before, after=audit.snapshot(pool), now=now)
    if was_paused != pool.paused:
        event("pool paused" if pool.paused else "pool resumed", pool=pool_id, by=actor.name)
    if not pool.paused and (was_paused or "paused" in changes):
        # Even if it was not paused any more: an earlier request that resumed it may have crashed before the tokens.
        _send_tokens(pool_id, now=now)
    return get(pool_id)


def _send_tokens(pool_id: str, *, now: datetime) -> None:
    """Send tokens for the jobs that may be claimed: those that came during the pause are spent."""
    keys = keys_to_read(pool_id, due=None, now=now)
    ready = [job_id for key in reversed(keys) for job_id in jobs.first_ready_ids(key, TOKENS_ON_RESUME)]
    sqs.send([(sqs.Token(pool_id, job_id), now) for job_id in ready[:TOKENS_ON_RESUME]], now=now)


def _counts_by_pool() -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {}
    for row in counts():
        sums = totals.setdefault(str(row["pool"]), dict.fromkeys(STATUSES, 0))
        for status in STATUSES:
            sums[status] += int(row[status])
    return totals


def _shown(pool_id: str, record: PoolRecord | None, counted: Mapping[str, dict[str, int]]) -> dict[str, Any]:
    record, revision = record or PoolRecord(pool_id), 0 if record is None else int(record.revision)
    return {
        "pool_id": pool_id,
        "description": record.description,
        "paused": record.paused,
        "note": record.note,
        "revision": revision,
        "updated_at": record.updated_at,
        **counted.get(pool_id, dict.fromkeys(STATUSES, 0)),
    }
