"""The record of every change: actor, action, record, and each field from its old to its new value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib import retention
from chalicelib.access.actor import Actor
from chalicelib.core.bounds import shrunk
from chalicelib.core.ids import month_bucket, months_between, ulid
from chalicelib.core.instants import rfc3339, utc
from chalicelib.core.record_bounds import CHANGES_BYTES
from chalicelib.errors import Invalid
from chalicelib.masking import masked
from chalicelib.paging import TOTAL_LIMIT, Page, check
from chalicelib.store import audit as store
from chalicelib.store.audit import AuditFilter, AuditRecord
from chalicelib.store.base import Record

# Entries are kept at least so long.
LEAST_DAYS = 800
# Characters of a text: the audit tells what changed and is no second store of definitions.
VALUE_LIMIT = 4_000
# Characters of a document as JSON; of a longer one the beginning is kept as text. An entry as a whole is cut to
# `CHANGES_BYTES`.
DOCUMENT_LIMIT = 16_000
# Columns that every edit changes by itself.
NOT_SHOWN = frozenset(
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
    """Add an entry. `before` is None for a new record, `after` for a deleted one.

    A request that is repeated after a crash comes with the same `now`, and its entry is there once.
    """
    entry_id = ulid(now, f"{actor.name}|{action}|{record_type}|{record_id}{_which(actor)}")
    entry = AuditRecord(
        month_bucket(entry_id),
        entry_id,
        at=now,
        actor=actor.name,
        token_id=actor.token_id,
        subject=actor.subject,
        role=actor.role,
        action=action,
        record_type=record_type,
        record_id=record_id,
        changes=shrunk(changes(before, after), CHANGES_BYTES),
        expires_at=utc(now) + timedelta(days=days_kept()),
    )
    store.add(entry)


def _which(actor: Actor) -> str:
    """Nothing for an actor known by name alone: the entries of older requests have ids without it."""
    return "" if actor.token_id is None and actor.subject is None else f"|{actor.identity}"


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, list[Any]]:
    """`{field: [from, to]}` of each field that differs, secrets masked."""
    old, new = dict(before or {}), dict(after or {})
    # Compared before masking, so that a changed password shows as changed.
    names = sorted(name for name in old.keys() | new.keys() if name not in NOT_SHOWN and old.get(name) != new.get(name))
    shown_old, shown_new = masked(old), masked(new)
    return {name: [_as_kept(shown_old.get(name)), _as_kept(shown_new.get(name))] for name in names}


def snapshot(item: Record) -> dict[str, Any]:
    """The columns of a record as JSON values, for `before` and `after`."""
    return {name: _as_json(value) for name, value in item.attribute_values.items()}


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
    oldest = utc(now) - timedelta(days=days_kept())
    # An entry has the instant at which its request was accepted, by another machine's clock: it may be ahead of `now`.
    newest = utc(now) + timedelta(days=1)
    months = months_between(max(oldest, at_from or oldest), min(newest, at_to or newest))
    wanted = AuditFilter(at_from=at_from, at_to=at_to, **equal)
    items, total = store.page(wanted, months=months, page=page, page_size=page_size, limit=TOTAL_LIMIT)
    return Page(items, page, page_size, min(total, TOTAL_LIMIT), total_is_lower_bound=total > TOTAL_LIMIT)


def days_kept() -> int:
    """Entries outlive any job that they explain."""
    return max(LEAST_DAYS, 2 * retention.longest_days())


def _as_json(value: Any) -> Any:
    if isinstance(value, set):
        return sorted(value)
    return rfc3339(value) if isinstance(value, datetime) else value


def _as_kept(value: Any) -> Any:
    value = _as_json(value)
    if isinstance(value, str):
        return _shortened(value)
    if isinstance(value, dict | list) and len(json.dumps(value)) > DOCUMENT_LIMIT:
        return _shortened(json.dumps(value, ensure_ascii=False))
    return value


def _shortened(text: str) -> str:
    return text if len(text) <= VALUE_LIMIT else text[:VALUE_LIMIT] + "…"
