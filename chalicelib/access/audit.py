"""Record of every change: actor, action, record, and each field from its old to its new value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib import retention
from chalicelib.access.actor import Actor
from chalicelib.core.ids import month_bucket, months_between, ulid
from chalicelib.core.instants import rfc3339, utc
from chalicelib.errors import Invalid
from chalicelib.masking import masked
from chalicelib.paging import TOTAL_LIMIT, Page, check
from chalicelib.store import audit as store
from chalicelib.store.audit import AuditFilter, AuditRecord
from chalicelib.store.base import Record

# At least so long.
RETENTION_DAYS = 800
# A record's value is cut here: the audit tells what changed, it is no second store of definitions.
VALUE_LIMIT = 4_000
# A document longer than this, as JSON, is told as its beginning: two of each field must fit an item, a hundred entries
# an answer.
DOCUMENT_LIMIT = 16_000
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
        expires_at=utc(now) + timedelta(days=kept_days()),
    )
    store.add(entry)


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


def listing(
    *,
    page: int,
    page_size: int,
    now: datetime,
    at_from: datetime | None = None,
    at_to: datetime | None = None,
    **equal: str | None,
) -> Page:
    """Entries that match all filters, newest first, as far back as they are kept; `at_to` is exclusive.

    `equal`: actor, action, record_type, record_id, each as it is written in an entry. The total is exact up to 10,000.
    """
    check(page, page_size)
    if at_from is not None and at_to is not None and at_from > at_to:
        raise Invalid("at_from is after at_to.", field="at_from")
    oldest = utc(now) - timedelta(days=kept_days())
    # An entry's instant is the acceptance of its request, which may be a moment ahead of this one.
    newest = utc(now) + timedelta(days=1)
    months = months_between(max(oldest, at_from or oldest), min(newest, at_to or newest))
    wanted = AuditFilter(at_from=at_from, at_to=at_to, **equal)
    items, total = store.page(wanted, months=months, page=page, page_size=page_size, limit=TOTAL_LIMIT)
    return Page(items, page, page_size, min(total, TOTAL_LIMIT), total_is_lower_bound=total > TOTAL_LIMIT)


def kept_days() -> int:
    """Longer than any job that an entry explains."""
    return max(RETENTION_DAYS, 2 * retention.longest_days())


def _json(value: Any) -> Any:
    if isinstance(value, set):
        return sorted(value)
    return rfc3339(value) if isinstance(value, datetime) else value


def _plain(value: Any) -> Any:
    value = _json(value)
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, dict | list) and len(json.dumps(value)) > DOCUMENT_LIMIT:
        return _cut(json.dumps(value, ensure_ascii=False))
    return value


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_LIMIT else text[:VALUE_LIMIT] + "…"
