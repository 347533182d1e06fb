"""Which tasks' rules are to be looked at, and when: an entry in the index that `sweep` reads anyway.

The entry stands in the jobs table under an id that no job can have, with nothing but what the `leases` index takes. So
a stage without such tasks pays for no query, one with many pays for those whose time has come, and an entry that was
put before a task was saved or deleted outlives the process that was to finish the work.
"""

from __future__ import annotations

from datetime import datetime

from pynamodb.attributes import NumberAttribute, TTLAttribute, UnicodeAttribute

from chalicelib.core.ids import shard_of
from chalicelib.store.base import InstantAttribute, Record, table_name, written
from chalicelib.store.job_record import LEASE_SHARDS

# Ids in the API have no full stop.
PREFIX = "rule."


class RuleWatch(Record):
    class Meta:
        table_name = table_name("jobs")

    job_id = UnicodeAttribute(hash_key=True)
    lease_shard = NumberAttribute(null=True)
    lease_until = InstantAttribute(null=True)
    expires_at = TTLAttribute(null=True)


def task_of(lapsed_id: str) -> str | None:
    """The task whose rule an entry of the `leases` index is about; None when it is a job's."""
    return lapsed_id.removeprefix(PREFIX) if lapsed_id.startswith(PREFIX) else None


def keep(task_id: str, *, until: datetime) -> None:
    """Have the task's rule looked at after an instant."""
    RuleWatch(f"{PREFIX}{task_id}").update(
        [
            RuleWatch.lease_shard.set(shard_of(task_id, LEASE_SHARDS)),
            RuleWatch.lease_until.set(until),
            RuleWatch.expires_at.remove(),
        ]
    )


def drop(task_id: str, *, until: datetime, now: datetime) -> None:
    """Look no more, unless somebody asked for another look than the one at `until`. The rest of the entry expires."""
    written(
        RuleWatch(f"{PREFIX}{task_id}"),
        [RuleWatch.lease_shard.remove(), RuleWatch.lease_until.remove(), RuleWatch.expires_at.set(now)],
        RuleWatch.lease_until == until,
    )
