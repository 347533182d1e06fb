"""Calendars of working days, which schedules name."""

from __future__ import annotations

from typing import Any

from chalicelib.api.models.base import Listing
from chalicelib.api.models.catalogue import CalendarIn, CalendarOut, CalendarPatch, SearchQuery
from chalicelib.api.operation import Call, operation
from chalicelib.catalogue import calendars, records
from chalicelib.errors import StillReferenced
from chalicelib.store.catalogue import CalendarRecord, get_calendar


@operation("GET", "/calendars", query=SearchQuery, answer=Listing[CalendarOut], summary="List calendars")
def list_calendars(call: Call) -> Any:
    return records.listing(
        CalendarRecord, search=call.query.search, page=call.query.page, page_size=call.query.page_size
    )


@operation(
    "POST",
    "/calendars",
    body=CalendarIn,
    answer=CalendarOut,
    status=201,
    revised=True,
    id_field="calendar_id",
    summary="Make a calendar",
)
def create_calendar(call: Call) -> Any:
    return calendars.create(call.body.model_dump(), actor=call.actor, now=call.now, key=call.key)


@operation("GET", "/calendars/{calendar_id}", answer=CalendarOut, revised=True, summary="Read a calendar")
def get_one_calendar(call: Call, calendar_id: str) -> Any:
    return get_calendar(calendar_id)


@operation(
    "PUT", "/calendars/{calendar_id}", body=CalendarIn, answer=CalendarOut, revised=True, summary="Replace a calendar"
)
def replace_calendar(call: Call, calendar_id: str) -> Any:
    body = call.body.model_dump()
    return calendars.replace(calendar_id, body, revision=call.revision, actor=call.actor, now=call.now)


@operation(
    "PATCH",
    "/calendars/{calendar_id}",
    body=CalendarPatch,
    answer=CalendarOut,
    revised=True,
    summary="Change the named fields of a calendar",
)
def patch_calendar(call: Call, calendar_id: str) -> Any:
    changes = call.body.model_dump(exclude_unset=True)
    return calendars.patch(calendar_id, changes, revision=call.revision, actor=call.actor, now=call.now)


@operation("DELETE", "/calendars/{calendar_id}", revised=True, errors=(StillReferenced,), summary="Delete a calendar")
def delete_calendar(call: Call, calendar_id: str) -> Any:
    return calendars.delete(calendar_id, revision=call.revision, actor=call.actor, now=call.now)
