"""What the walks of `patrol` read, and how far they have come: an entry in the index that `sweep` reads anyway.

So an idle minute pays for no look at it, and a walk goes on where the process that died had left it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from pynamodb.attributes import NumberAttribute, UnicodeAttribute

from chalicelib.core.ids import shard_of
from chalicelib.core.lifecycle import JobStatus
from chalicelib.store.base import InstantAttribute, Record, set_or_remove, table_name, written
from chalicelib.store.job_record import LEASE_SHARDS, JobRecord
from chalicelib.store.runs import RunRecord

# Ids in the API have no full stop.
PREFIX = "patrol."


class PatrolEntry(Record):
    class Meta:
        table_name = table_name("jobs")

    job_id = UnicodeAttribute(hash_key=True)
    lease_shard = NumberAttribute(null=True)
    lease_until = InstantAttribute(null=True)
    # Where the walk goes on; absent: it begins.
    cursor = UnicodeAttribute(null=True)


def walk_of(lapsed_id: str) -> str | None:
    """The walk that an entry of the `leases` index is about; None when it is a job's or a rule's."""
    return lapsed_id.removeprefix(PREFIX) if lapsed_id.startswith(PREFIX) else None


def begin(walk: str, *, at: datetime) -> None:
    """Have the walk looked after from an instant on, unless it is already."""
    entry_id = f"{PREFIX}{walk}"
    written(
        PatrolEntry(entry_id),
        [
            PatrolEntry.lease_shard.set(shard_of(entry_id, LEASE_SHARDS)),
            PatrolEntry.lease_until.set(at),
        ],
        PatrolEntry.lease_until.does_not_exist(),
    )


def find(walk: str) -> PatrolEntry | None:
    try:
        return PatrolEntry.get(f"{PREFIX}{walk}", consistent_read=True)
    except PatrolEntry.DoesNotExist:
        return None


def go_on(entry: PatrolEntry, *, cursor: str | None, at: datetime) -> None:
    """The next turn begins at `cursor`, at the earliest at an instant, unless somebody else has taken this one."""
    cursor_is = set_or_remove(PatrolEntry.cursor, cursor)
    written(entry, [cursor_is, PatrolEntry.lease_until.set(at)], PatrolEntry.lease_until == entry.lease_until)


# --- what is walked ---------------------------------------------------------------------------------------------------


def ids_of_status(status: JobStatus, *, after: str, count: int) -> Iterator[str]:
    """Ids of the first jobs of a status, oldest first."""
    for row in JobRecord.by_status.query(status, JobRecord.job_id > after if after else None, limit=count):
        yield row.job_id


def ids_of_month(month: str, *, before: str, count: int) -> Iterator[str]:
    """Ids of a month's last jobs before this one, newest first."""
    for row in JobRecord.timeline.query(month, JobRecord.job_id < before, scan_index_forward=False, limit=count):
        yield row.job_id


def runs_of(keys: Iterable[tuple[str, int]]) -> list[RunRecord]:
    """The runs that exist among these (job id, number), read consistently, in no order."""
    return list(RunRecord.batch_get(list(keys), consistent_read=True))
