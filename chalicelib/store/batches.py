"""Batches: one action on many jobs. Part 0 is the batch itself; the parts after it hold its jobs and their outcomes."""

from __future__ import annotations

from pynamodb.attributes import NumberAttribute, TTLAttribute, UnicodeAttribute
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection

from chalicelib.store.base import DocumentAttribute, InstantAttribute, Record, table_name


class ListingIndex(GlobalSecondaryIndex["BatchRecord"]):
    """The batches (parts 0) of a month."""

    class Meta:
        index_name = "listing"
        projection = KeysOnlyProjection()

    month = UnicodeAttribute(hash_key=True)
    batch_id = UnicodeAttribute(range_key=True)


class BatchRecord(Record):
    class Meta:
        table_name = table_name("batches")

    listing = ListingIndex()

    batch_id = UnicodeAttribute(hash_key=True)
    part = NumberAttribute(range_key=True)
    month = UnicodeAttribute(null=True)
    action = UnicodeAttribute(null=True)
    actor = UnicodeAttribute(null=True)
    role = UnicodeAttribute(null=True)
    created_at = InstantAttribute(null=True)
    outcomes = DocumentAttribute(null=True)
    expires_at = TTLAttribute(null=True)
