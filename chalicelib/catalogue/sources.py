"""Sources: making, reading, replacing and deleting connections.

A source's password takes one way only: in, to Secrets Manager. The record says no more than that there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.aws import secrets
from chalicelib.catalogue import records
from chalicelib.core.ids import ulid
from chalicelib.errors import Invalid
from chalicelib.queue import concurrency
from chalicelib.settings import settings
from chalicelib.sources.registry import address_of, check_settings
from chalicelib.store import catalogue as store
from chalicelib.store.catalogue import SourceRecord


def create(body: Mapping[str, Any], *, actor: Actor, now: datetime, key: str | None = None) -> SourceRecord:
    """`body`: name, description, kind, settings, password, max_concurrency.

    With the same key and now it is made once.
    """
    source = SourceRecord(
        ulid(now, None if key is None else f"source|{key}"),
        name=body["name"],
        description=body["description"],
        kind=body["kind"],
        settings=_checked_settings(body),
        has_secret=body.get("password") is not None,
        max_concurrency=body.get("max_concurrency"),
        creator=actor.name,
        created_at=now,
        updated_at=now,
    )
    concurrency.before_save(concurrency.of_source(source.source_id), source.max_concurrency)
    if not store.insert(source):
        source = store.get_source(source.source_id)
    # The record first: a record without its password can be seen and mended, a secret without its record only costs.
    if body.get("password") is not None:
        secrets.put(secrets.source_name(source.source_id), {"password": body["password"]})
    records.record_change(
        actor, "create", source, before=None, after={**audit.snapshot(source), **_password(body)}, now=now
    )
    return source


def replace(
    source_id: str, body: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime
) -> SourceRecord:
    """A password that is left out stays, unless the address changes; null removes it."""
    source = records.current(SourceRecord, source_id, revision)
    before, wanted = audit.snapshot(source), _checked_settings(body)
    keeps = "password" not in body
    if keeps and source.has_secret and address_of(source.kind, source.settings) != address_of(body["kind"], wanted):
        message = "Give the password again: it is not sent to another address than the one it was given for."
        raise Invalid(message, field="password")
    changes = {
        "name": body["name"],
        "description": body["description"],
        "kind": body["kind"],
        "settings": wanted,
        "has_secret": source.has_secret if keeps else body["password"] is not None,
        "max_concurrency": body.get("max_concurrency"),
        "updated_at": now,
    }
    limit, most = concurrency.of_source(source_id), source.max_concurrency
    concurrency.before_save(limit, changes["max_concurrency"])
    store.overwrite(source, changes, revision=int(source.revision))
    concurrency.after_save(limit, before=most, after=changes["max_concurrency"], now=now)
    if not keeps:
        name = secrets.source_name(source_id)
        if body["password"] is None:
            secrets.delete(name)
        else:
            secrets.put(name, {"password": body["password"]})
    records.record_change(
        actor, "update", source, before=before, after={**audit.snapshot(source), **_password(body)}, now=now
    )
    return source


def delete(source_id: str, *, revision: int | None, actor: Actor, now: datetime) -> None:
    """Remove a source and its password. Refused while a report or a task uses it."""
    source = records.current(SourceRecord, source_id, revision)
    records.refuse_if_used("reports", [report.name for report in store.reports_of_source(source_id)])
    records.refuse_if_used("tasks", records.task_names_with(source_id))
    before = audit.snapshot(source)
    # The guarded write first, so that a stale delete leaves the password; should the process die, delete it again.
    store.overwrite(source, {"has_secret": False, "updated_at": now}, revision=int(source.revision))
    secrets.delete(secrets.source_name(source_id))
    store.remove(source, revision=int(source.revision))
    concurrency.after_delete(concurrency.of_source(source_id), before=source.max_concurrency, now=now)
    records.record_change(actor, "delete", source, before=before, after=None, now=now)


def _checked_settings(body: Mapping[str, Any]) -> dict[str, Any]:
    return check_settings(body["kind"], body["settings"], data_folder=settings().data_folder or None)


def _password(body: Mapping[str, Any]) -> dict[str, Any]:
    """So that the audit shows, masked, that a password was set."""
    return {"password": "set"} if body.get("password") is not None else {}
