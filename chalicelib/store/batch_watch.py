"""Which batches are to be looked at, and when: entries in the index that `sweep` reads anyway, like those of rules.

The entry is put before the batch and outlives the process that was to go on with it. It stands in the jobs table under
an id that no job can have.
"""

from __future__ import annotations

from datetime import datetime

from pynamodb.attributes import NumberAttribute, UnicodeAttribute

from chalicelib.store.base import InstantAttribute, Record, deleted, table_name
from chalicelib.store.jobs import lease_shard

# Ids in the API have no full stop.
PREFIX = "batch."


class BatchWatch(Record):
    class Meta:
        table_name = table_name("jobs")

    job_id = UnicodeAttribute(hash_key=True)
    lease_shard = NumberAttribute(null=True)
    lease_until = InstantAttribute(null=True)


def batch_of(lapsed_id: str) -> str | None:
    """The batch that an entry of the `leases` index is about; None when it is about something else."""
    return lapsed_id.removeprefix(PREFIX) if lapsed_id.startswith(PREFIX) else None


def keep(batch_id: str, *, until: datetime) -> None:
    """Have the batch looked at after an instant."""
    BatchWatch(PREFIX + batch_id).update(
        [BatchWatch.lease_shard.set(lease_shard(batch_id)), BatchWatch.lease_until.set(until)]
    )


def drop(batch_id: str, *, before: datetime | None = None) -> None:
    """Look no more; `before`: unless somebody asked for a look later than that."""
    deleted(BatchWatch(PREFIX + batch_id), None if before is None else BatchWatch.lease_until < before)
