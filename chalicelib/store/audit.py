"""The audit: who did what, when, to which record. Entries are added and never changed.

Every filter has an index of its own, which carries the columns of the other filters and nothing else. A list reads one
index, or without a filter the table month by month, and then the page's entries from the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pynamodb.attributes import Attribute, TTLAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.indexes import GlobalSecondaryIndex

from chalicelib.core.ids import ulid
from chalicelib.store.base import (
    DocumentAttribute,
    InstantAttribute,
    Record,
    count_up_to,
    list_index,
    read_many,
    saved,
    table_name,
)

# What filters compare. Each column is the key of an index, which carries the others.
COMPARED = ("action", "actor", "record_id", "record_type")


def listed(column: str) -> GlobalSecondaryIndex[AuditRecord]:
    """The index of a filter: the entries that have a value in this column, in the order of their ids."""
    keys: dict[str, Attribute[Any]] = {
        column: UnicodeAttribute(hash_key=True),
        "entry_id": UnicodeAttribute(range_key=True),
    }
    return list_index(keys, [other for other in COMPARED if other != column])


class AuditRecord(Record):
    """`changes` maps a field to `[from, to]`; secrets are masked before they get here."""

    class Meta:
        table_name = table_name("audit")

    by_record = listed("record_id")
    by_actor = listed("actor")
    by_action = listed("action")
    by_type = listed("record_type")

    month = UnicodeAttribute(hash_key=True)
    entry_id = UnicodeAttribute(range_key=True)
    at = InstantAttribute()
    actor = UnicodeAttribute()
    # Which of the callers of this name: the id of an API token, or the subject of a JWT.
    token_id = UnicodeAttribute(null=True)
    subject = UnicodeAttribute(null=True)
    role = UnicodeAttribute()
    action = UnicodeAttribute()
    record_type = UnicodeAttribute()
    record_id = UnicodeAttribute()
    changes = DocumentAttribute()
    expires_at = TTLAttribute(null=True)


def add(entry: AuditRecord) -> None:
    """Adding an entry a second time changes nothing."""
    saved(entry, AuditRecord.entry_id.does_not_exist())


@dataclass(frozen=True)
class AuditFilter:
    """What a list selects; None selects all. `at_from` is inclusive, `at_to` is not."""

    record_id: str | None = None
    actor: str | None = None
    action: str | None = None
    record_type: str | None = None
    at_from: datetime | None = None
    at_to: datetime | None = None


# No id is older, and none of an earlier instant can be made.
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
# The index of each filter, the most selective first.
INDEXES: dict[str, GlobalSecondaryIndex[Any]] = {
    "record_id": AuditRecord.by_record,
    "actor": AuditRecord.by_actor,
    "action": AuditRecord.by_action,
    "record_type": AuditRecord.by_type,
}


def page(
    wanted: AuditFilter, *, months: list[str], page: int, page_size: int, limit: int
) -> tuple[list[AuditRecord], int]:
    """The page's entries, newest first, and the number of matches, counted up to `limit` + 1.

    Without a filter that has an index, reads the partitions of `months`, newest first.
    """
    start = (page - 1) * page_size
    keys: list[tuple[str, str]] = []
    total = 0
    # Counted as far as the total goes, and at least to the page's end.
    enough = max(limit, start + page_size) + 1
    for source, partition in _partitions(wanted, months):
        if total >= enough:
            break
        within, others = _between(wanted), _remaining(wanted, besides=source)
        counted = count_up_to(enough - total, source, partition, within, matching=others)
        skip, room = max(0, start - total), page_size - len(keys)
        if room > 0 and counted > skip:
            found = source.query(partition, within, filter_condition=others, scan_index_forward=False)
            keys += [(row.month, row.entry_id) for row in islice(found, skip, skip + room)]
        total += counted
    read = {entry.entry_id: entry for entry in read_many(AuditRecord, keys)}
    return [read[entry_id] for _, entry_id in keys if entry_id in read], min(total, limit + 1)


def _partitions(wanted: AuditFilter, months: list[str]) -> Iterator[tuple[Any, str]]:
    for name, index in INDEXES.items():
        value = getattr(wanted, name)
        if value is not None:
            yield index, value
            return
    for month in months:
        yield AuditRecord, month


def _between(wanted: AuditFilter) -> Condition | None:
    """Entries' ids are ULIDs, whose first ten letters are their time: an instant's ten letters bound them."""
    column = AuditRecord.entry_id
    low, high = (None if at is None else ulid(max(at, FIRST), "")[:10] for at in (wanted.at_from, wanted.at_to))
    condition: Condition | None = None
    if low is not None and high is not None:
        condition = column.between(low, high)
    elif low is not None:
        condition = column >= low
    elif high is not None:
        condition = column < high
    return condition


def _remaining(wanted: AuditFilter, *, besides: Any) -> Condition | None:
    """The condition of the filters that the index's key does not answer."""
    condition: Condition | None = None
    for name, index in INDEXES.items():
        value = getattr(wanted, name)
        if value is not None and index is not besides:
            equal: Condition = getattr(AuditRecord, name) == value
            condition = equal if condition is None else condition & equal
    return condition
