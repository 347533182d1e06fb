"""Record of every change: actor, action, record, and each field from its old to its new value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from chalicelib.actor import Actor
from chalicelib.core.ids import month_bucket, ulid
from chalicelib.core.instants import rfc3339, utc
from chalicelib.masking import masked
from chalicelib.paging import TOTAL_LIMIT, Page, check
from chalicelib.store.audit import AuditRecord, add, newest_first
from chalicelib.store.base import Record

# Longer than the jobs it explains.
RETENTION_DAYS = 800
# A record's value is cut here: the audit tells what changed, it is no second store of definitions.
VALUE_LIMIT = 4_000
# What every edit moves by itself says nothing.
SILENT = frozenset(
    {"revision", "updated_at", "due_shard", "next_fire_at", "tzdata_version", "listing", "facets", "search_name"}
)


def record(
    actor: Actor,
    action: str,
    record_type: str,
    record_id: str,
    *,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    now: datetime,
) -> None:
    """Add an entry. `before` is None for something made, `after` for something deleted.

    A request that is taken over after a crash comes with the same `now`, and its entry is there once.
    """
    entry_id = ulid(now, f"{actor.name}|{action}|{record_type}|{record_id}")
    entry = AuditRecord(
        month_bucket(entry_id),
        entry_id,
        at=now,
        actor=actor.name,
        role=actor.role,
        action=action,
        record_type=record_type,
        record_id=record_id,
        changes=changes(before, after),
        expires_at=utc(now) + timedelta(days=RETENTION_DAYS),
    )
    add(entry)


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, list[Any]]:
    """`{field: [from, to]}` of every field that differs, secrets masked."""
    old, new = dict(before or {}), dict(after or {})
    # Compared before masking, so that a changed password shows as changed.
    names = sorted(name for name in old.keys() | new.keys() if name not in SILENT and old.get(name) != new.get(name))
    shown_old, shown_new = masked(old), masked(new)
    return {name: [_plain(shown_old.get(name)), _plain(shown_new.get(name))] for name in names}


def snapshot(item: Record) -> dict[str, Any]:
    """The columns of a record, for `before` and `after`."""
    return {name: _json(value) for name, value in item.attribute_values.items()}


def listing(*, page: int, page_size: int, now: datetime) -> Page:
    """Entries newest first, as far back as they are kept."""
    check(page, page_size)
    entries = newest_first(list(_months(now)))
    start = (page - 1) * page_size
    items = list(islice(entries, start, start + page_size))
    total = start + len(items) + sum(1 for _ in islice(entries, max(0, TOTAL_LIMIT - start - len(items)) + 1))
    return Page(items, page, page_size, min(total, TOTAL_LIMIT), total_is_lower_bound=total > TOTAL_LIMIT)


def _months(now: datetime) -> Iterator[str]:
    first = utc(now).replace(day=1)
    for _ in range(RETENTION_DAYS // 28 + 1):
        yield first.strftime("%Y-%m")
        first = (first - timedelta(days=1)).replace(day=1)


def _json(value: Any) -> Any:
    if isinstance(value, set):
        return sorted(value)
    return rfc3339(value) if isinstance(value, datetime) else value


def _plain(value: Any) -> Any:
    value = _json(value)
    text = value if isinstance(value, str) else None
    if text is not None and len(text) > VALUE_LIMIT:
        return text[:VALUE_LIMIT] + "…"
    return value
