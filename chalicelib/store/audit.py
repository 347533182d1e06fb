"""The audit: who did what, when, to which record. Entries are only ever added."""

from __future__ import annotations

from collections.abc import Iterator

from pynamodb.attributes import TTLAttribute, UnicodeAttribute

from chalicelib.store.base import DocumentAttribute, InstantAttribute, Record, Refused, refusing, table_name


class AuditRecord(Record):
    """`changes` maps a field to `[from, to]`; secrets are masked before they get here."""

    class Meta:
        table_name = table_name("audit")

    month = UnicodeAttribute(hash_key=True)
    entry_id = UnicodeAttribute(range_key=True)
    at = InstantAttribute()
    actor = UnicodeAttribute()
    role = UnicodeAttribute()
    action = UnicodeAttribute()
    record_type = UnicodeAttribute()
    record_id = UnicodeAttribute()
    changes = DocumentAttribute()
    expires_at = TTLAttribute(null=True)


def add(entry: AuditRecord) -> None:
    """Adding an entry a second time changes nothing."""
    try:
        with refusing():
            entry.save(AuditRecord.entry_id.does_not_exist())
    except Refused:
        return


def newest_first(months: list[str]) -> Iterator[AuditRecord]:
    for month in months:
        yield from AuditRecord.query(month, scan_index_forward=False)
