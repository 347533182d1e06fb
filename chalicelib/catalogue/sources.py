"""Sources: making, reading, replacing and deleting connections.

A source's password goes into Secrets Manager and never comes out. The record says only whether there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.aws import secrets
from chalicelib.catalogue import records
from chalicelib.errors import Invalid
from chalicelib.queue import concurrency
from chalicelib.settings import settings
from chalicelib.sources.registry import address_of, as_read, check_settings
from chalicelib.store import catalogue as store
from chalicelib.store import tasks
from chalicelib.store.catalogue import SourceRecord
from chalicelib.store.revisions import again_when_overtaken

FIELDS = ("name", "description", "kind", "settings", "max_concurrency")


def create(body: Mapping[str, Any], *, actor: Actor, now: datetime, key: str | None = None) -> SourceRecord:
    """`body`: name, description, kind, settings, password, max_concurrency. Made once per `key` and `now`."""
    columns = _columns(body) | {"has_secret": body.get("password") is not None}
    source = records.new(SourceRecord, columns, actor=actor, now=now, key=key)
    if source.has_secret:
        source.secret_version = secrets.version_name(1, source.source_id)
    concurrency.before_save(concurrency.of_source(source.source_id), source.max_concurrency)
    source = records.insert(source)
    # The record first: people see and repair a record without its password; a secret without its record only costs.
    if body.get("password") is not None and source.secret_version is not None:
        name = secrets.source_name(source.source_id)
        secrets.add(name, source.secret_version, {"password": body["password"]})
    records.record_change(
        actor, "create", source, before=None, after={**audit.snapshot(source), **_password(body)}, now=now
    )
    return source


def replace(
    source_id: str, body: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime
) -> SourceRecord:
    """A password that is left out stays, unless the address changes; null removes it.

    A new password becomes a version of the secret that no record names yet. One conditional write then puts the
    settings and the name of the version into the record. Of two edits that meet, the loser's version is never used.
    """
    source = records.current(SourceRecord, source_id, revision)
    before, columns = audit.snapshot(source), _columns(body)
    records.require_room_for(source, columns)
    keeps = "password" not in body
    moves = address_of(source.kind, source.settings) != address_of(body["kind"], columns["settings"])
    if keeps and source.has_secret and moves:
        message = "Give the password again: it is not sent to another address than the one it was given for."
        raise Invalid(message, field="password")
    has_secret = source.has_secret if keeps else body["password"] is not None
    version: str | None = source.secret_version if keeps else None
    limit, former, capacity = concurrency.of_source(source_id), source.max_concurrency, columns["max_concurrency"]
    concurrency.before_save(limit, capacity)
    name = secrets.source_name(source_id)
    if has_secret and not keeps:
        version = secrets.version_name(int(source.revision) + 1, uuid4().hex)
        secrets.add(name, version, {"password": body["password"]})
    written = {**columns, "has_secret": has_secret, "secret_version": version, "updated_at": now}
    store.overwrite(source, written, revision=int(source.revision))
    concurrency.after_save(limit, before=former, after=capacity, now=now)
    # Where another edit has set a password meanwhile, the secret has that one too.
    if not has_secret and not keeps and not store.get_source(source_id).has_secret:
        secrets.delete(name)
    records.record_change(
        actor, "update", source, before=before, after={**audit.snapshot(source), **_password(body)}, now=now
    )
    return source


@again_when_overtaken
def patch(
    source_id: str, changes: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime
) -> SourceRecord:
    """Change the named fields and leave the others; `settings` are replaced whole, and a password as `replace` says."""
    source = records.current(SourceRecord, source_id, revision)
    body = records.merged(source, FIELDS, changes)
    if "settings" not in changes:
        body["settings"] = as_read(source.kind, source.settings, data_folder=settings().data_folder or None)
    return replace(source_id, body, revision=int(source.revision), actor=actor, now=now)


@again_when_overtaken
def delete(source_id: str, *, revision: int | None, actor: Actor, now: datetime) -> None:
    """Remove a source and its password. Refused while a report or a task uses it."""
    source = records.current(SourceRecord, source_id, revision)
    records.refuse_if_used("reports", [report.name for report in store.reports_of_source(source_id)])
    records.refuse_if_used("tasks", [task.name for task in tasks.whose_spec_names(source_id)])
    before = audit.snapshot(source)
    # The guarded write first, so that a stale delete leaves the password; should the process die, delete it again.
    nothing = {"has_secret": False, "secret_version": None, "updated_at": now}
    store.overwrite(source, nothing, revision=int(source.revision))
    secrets.delete(secrets.source_name(source_id))
    store.remove(source, revision=int(source.revision))
    concurrency.after_delete(concurrency.of_source(source_id), before=source.max_concurrency, now=now)
    records.record_change(actor, "delete", source, before=before, after=None, now=now)


def _columns(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the body says of the record, its settings checked."""
    checked = check_settings(body["kind"], body["settings"], data_folder=settings().data_folder or None)
    return {
        **{name: body[name] for name in ("name", "description", "kind")},
        "settings": checked,
        "max_concurrency": body.get("max_concurrency"),
    }


def _password(body: Mapping[str, Any]) -> dict[str, Any]:
    """For the audit, which shows, masked, that a password was set."""
    return {"password": "set"} if body.get("password") is not None else {}
