"""Where a waiting job stands: the names of the lines in the index `ready`. Each line is in the order of rank.

    P                   jobs of pool P that may be claimed now
    P~202603020901      jobs of pool P whose time comes within that UTC minute: those it has come for may be claimed too
    ~task:T  ~source:S  jobs parked: as many of task T (of those that work on source S) are active as may be

A job enters the line of its minute when it is planned, so that it needs no write at its time to become claimable, and
whoever claims looks at the minutes around now beside the pool's own line. Ids hold no `~`: no pool is another line.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.core.instants import utc

MINUTE = timedelta(minutes=1)
# How far back the lines of minutes are looked at by who comes late: by then `sweep` has taken a job whose token did not
# arrive into the pool's own line (its lease of one minute, the sweep's own minute, and one to spare).
REACH = timedelta(minutes=3)
# A token that comes within this time is on time: nothing of the minutes before it can be waiting for want of workers.
ON_TIME = timedelta(seconds=5)
_PARKED = "~"


def minute_key(pool: str, at: datetime) -> str:
    return f"{pool}~{utc(at):%Y%m%d%H%M}"


def ready_key(pool: str, not_before: datetime, *, now: datetime) -> str:
    """Where a new job of the pool stands."""
    return pool if not_before <= now else minute_key(pool, not_before)


def keys_to_read(pool: str, *, due: datetime | None, now: datetime) -> list[str]:
    """What a worker looks at, whose token's job was due at `due` (None: that job is gone).

    The pool's own line is the last: a job moves only from a minute's line to it, so none is missed in between.
    """
    on_time = due is not None and now - due <= ON_TIME
    at = utc(due if on_time and due is not None else now - REACH).replace(second=0, microsecond=0)
    found = []
    while at <= now:
        found.append(minute_key(pool, at))
        at += MINUTE
    return [*found, pool]


def parked_key(limit: str) -> str:
    """Where the jobs stand that a limit, `task:<id>` or `source:<id>`, keeps out of their pool's line."""
    return f"{_PARKED}{limit}"


def limit_of_key(line: str | None) -> str | None:
    """The limit that a line is parked behind; None for any other line."""
    return line.removeprefix(_PARKED) if line is not None and line.startswith(_PARKED) else None
