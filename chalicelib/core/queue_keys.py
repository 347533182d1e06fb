"""The keys of the queues in the index `ready`: each waiting job is in one of them. A queue is ordered by rank.

    P                   jobs of pool P that may be claimed now
    P~202603020901      jobs of pool P whose time lies in that UTC minute; each may be claimed once its time has come
    ~task:T  ~source:S  parked jobs: the concurrency limit of task T, or of source S, is reached

A planned job enters the queue of its minute, so it needs no write at its time to become claimable. A worker reads the
queues of the minutes around now and then the pool's own. Ids hold no `~`, so no pool's key is that of another queue.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from chalicelib.core.instants import utc

MINUTE = timedelta(minutes=1)
# How far back a late worker reads the queues of minutes. `sweep` moves an older job, whose token was lost, into the
# pool's own queue: after its lease of one minute, at the next sweep a minute later, and one minute is to spare.
LOOK_BACK = timedelta(minutes=3)
# A token that comes within this time is on time: no job of the minutes before it waits for a worker.
ON_TIME = timedelta(seconds=5)
_PARKED = "~"
_MINUTE_FORM = "%Y%m%d%H%M"


def minute_key(pool: str, at: datetime) -> str:
    return f"{pool}~{utc(at).strftime(_MINUTE_FORM)}"


def ready_key(pool: str, not_before: datetime, *, now: datetime) -> str:
    """The queue of a new job of the pool."""
    return pool if not_before <= now else minute_key(pool, not_before)


def minute_of_key(key: str) -> datetime | None:
    """The minute whose queue this is; None for every other queue."""
    pool, _, minute = key.partition("~")
    return datetime.strptime(minute, _MINUTE_FORM).replace(tzinfo=UTC) if pool and minute else None


def keys_to_read(pool: str, *, due: datetime | None, now: datetime) -> list[str]:
    """The queues that a worker reads, in order. `due` is when the token's job was due; None when that job is gone.

    The pool's own queue is last: a job moves only from its minute's queue to it, so the worker misses none.
    """
    on_time = due is not None and now - due <= ON_TIME
    at = utc(due if on_time and due is not None else now - LOOK_BACK).replace(second=0, microsecond=0)
    found = []
    while at <= now:
        found.append(minute_key(pool, at))
        at += MINUTE
    return [*found, pool]


def parked_key(limit: str) -> str:
    """The queue of the jobs parked at a concurrency limit, `task:<id>` or `source:<id>`."""
    return f"{_PARKED}{limit}"


def limit_of_key(key: str | None) -> str | None:
    """The limit at which the jobs of a queue are parked; None for every other queue."""
    return key.removeprefix(_PARKED) if key is not None and key.startswith(_PARKED) else None
