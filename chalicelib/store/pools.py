"""Pools: what an operator says of a line of waiting jobs. A pool nobody said anything of has no record."""

from __future__ import annotations

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute

from chalicelib.store.base import InstantAttribute, Record, table_name


class PoolRecord(Record):
    class Meta:
        table_name = table_name("pools")

    pool_id = UnicodeAttribute(hash_key=True)
    description = UnicodeAttribute(default="")
    # While true nothing is claimed from it.
    paused = BooleanAttribute(default=False)
    note = UnicodeAttribute(default="")
    # Grows by one with every edit; the ETag.
    revision = NumberAttribute(default=1)
    updated_at = InstantAttribute(null=True)
