"""The permits of a limit: one item for each task or source that has one, changed by conditional writes alone.

A permit is taken under the name `<job id>/<fence>`, before the claim that makes the fence the job's own. So a permit
belongs to exactly one claim, and whether it is still needed can be read off the job: no other claim has its fence.
"""

from __future__ import annotations

from datetime import datetime

from pynamodb.attributes import UnicodeAttribute, UnicodeSetAttribute
from pynamodb.expressions.condition import Condition, size

from chalicelib.core.record_bounds import HOLDERS_MOST
from chalicelib.store.base import InstantAttribute, Record, deleted, table_name, written
from chalicelib.store.pools import RESERVED


class LimitRecord(Record):
    class Meta:
        table_name = table_name("pools")

    # `~task:<id>` or `~source:<id>`.
    pool_id = UnicodeAttribute(hash_key=True)
    holders = UnicodeSetAttribute(null=True)
    # When its permits were last compared with the jobs.
    looked_at = InstantAttribute(null=True)


def permit(job_id: str, fence: str) -> str:
    return f"{job_id}/{fence}"


def claim_of(permit: str) -> tuple[str, str]:
    """(job id, fence) of the claim that a permit belongs to."""
    job_id, _, fence = permit.partition("/")
    return job_id, fence


def holders(limit: str) -> set[str]:
    try:
        return set(LimitRecord.get(_key(limit), consistent_read=True).holders or ())
    except LimitRecord.DoesNotExist:
        return set()


def acquire(limit: str, permit: str, *, capacity: int) -> bool:
    """Take one of `capacity` permits; False when all are taken. Repeating it changes nothing."""
    column = LimitRecord.holders
    free: Condition = column.does_not_exist() | (size(column) < capacity) | column.contains(permit)
    return written(LimitRecord(_key(limit)), [column.add({permit})], free)


def acquire_beyond(limit: str, permit: str) -> None:
    """Take a permit even where all are taken: for a run that was claimed before the limit was set.

    No limit has more than HOLDERS_MOST, for all of which its record has room: further runs go on without one.
    """
    column = LimitRecord.holders
    room: Condition = column.does_not_exist() | (size(column) < HOLDERS_MOST)
    written(LimitRecord(_key(limit)), [column.add({permit})], room)


def release(limit: str, permits: set[str]) -> int:
    """Give permits back; how many are still taken."""
    record = LimitRecord(_key(limit))
    written(record, [LimitRecord.holders.delete(permits)], None)
    return len(record.holders or ())


def begin_check(limit: str, *, now: datetime, not_since: datetime) -> bool:
    """Whether the caller is to compare the permits with the jobs; False when another process did after `not_since`."""
    looked_at = LimitRecord.looked_at
    return written(LimitRecord(_key(limit)), [looked_at.set(now)], looked_at.does_not_exist() | (looked_at < not_since))


def remove(limit: str) -> None:
    deleted(LimitRecord(_key(limit)), None)


def _key(limit: str) -> str:
    return f"{RESERVED}{limit}"
