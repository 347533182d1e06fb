"""Business calendars: making, reading, replacing and deleting them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.access import audit
from chalicelib.access.actor import Actor
from chalicelib.catalogue import records
from chalicelib.core.schedules.business_days import Calendar
from chalicelib.errors import FieldProblem, Invalid
from chalicelib.store import catalogue as store
from chalicelib.store import tasks
from chalicelib.store.catalogue import CalendarRecord
from chalicelib.store.revisions import again_when_overtaken

FIELDS = ("name", "description", "country", "days", "covers_from", "covers_to")


def create(body: Mapping[str, Any], *, actor: Actor, now: datetime, key: str | None = None) -> CalendarRecord:
    """`body`: name, description, country, days, covers_from, covers_to. Made once per `key` and `now`."""
    _check_calendar(body)
    return records.create(CalendarRecord, body, actor=actor, now=now, key=key)


def replace(
    calendar_id: str, body: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime
) -> CalendarRecord:
    calendar = records.current(CalendarRecord, calendar_id, revision)
    _check_calendar(body)
    records.require_room_for(calendar, body)
    before = audit.snapshot(calendar)
    store.overwrite(calendar, {**body, "updated_at": now}, revision=int(calendar.revision))
    records.record_change(actor, "update", calendar, before=before, after=audit.snapshot(calendar), now=now)
    return calendar


@again_when_overtaken
def patch(
    calendar_id: str, changes: Mapping[str, Any], *, revision: int | None, actor: Actor, now: datetime
) -> CalendarRecord:
    """Change the named fields and leave the others."""
    calendar = records.current(CalendarRecord, calendar_id, revision)
    body = records.merged(calendar, FIELDS, changes)
    return replace(calendar_id, body, revision=int(calendar.revision), actor=actor, now=now)


@again_when_overtaken
def delete(calendar_id: str, *, revision: int | None, actor: Actor, now: datetime) -> None:
    """Refused while a task's schedule names the calendar."""
    calendar = records.current(CalendarRecord, calendar_id, revision)
    records.refuse_if_used("tasks", [task.name for task in tasks.on_calendar(calendar_id)])
    records.delete(calendar, actor=actor, now=now)


def _check_calendar(body: Mapping[str, Any]) -> None:
    try:
        Calendar.accept({"days": body["days"], "first": body["covers_from"], "last": body["covers_to"]})
    except Invalid as error:
        ends = {"calendar.first": "covers_from", "calendar.last": "covers_to"}
        problems = [
            FieldProblem(ends.get(item.field, item.field.removeprefix("calendar.")), item.message)
            for item in error.problems
        ]
        raise Invalid(error.message, problems=problems) from error
