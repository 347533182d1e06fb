"""Sources: connections to databases. Requests may hold a password, answers never do."""

from __future__ import annotations

from typing import Any

from chalicelib.api.models.base import Listing
from chalicelib.api.models.catalogue import SearchQuery, SourceIn, SourceOut, SourcePatch, SourceTested
from chalicelib.api.operation import Call, operation
from chalicelib.catalogue import previews, records, sources
from chalicelib.errors import (
    AddressRefused,
    ConnectionDropped,
    SourceNotFound,
    SourceRefused,
    SourceUnreachable,
    StatementTimedOut,
    StillReferenced,
)
from chalicelib.store.catalogue import SourceRecord, get_source


@operation("GET", "/sources", query=SearchQuery, answer=Listing[SourceOut], summary="List sources")
def list_sources(call: Call) -> Any:
    return records.listing(SourceRecord, search=call.query.search, page=call.query.page, page_size=call.query.page_size)


@operation(
    "POST",
    "/sources",
    body=SourceIn,
    answer=SourceOut,
    status=201,
    revised=True,
    id_field="source_id",
    summary="Make a source",
)
def create_source(call: Call) -> Any:
    return sources.create(call.body.model_dump(), actor=call.actor, now=call.now, key=call.key)


@operation(
    "GET", "/sources/{source_id}", answer=SourceOut, revised=True, errors=(SourceNotFound,), summary="Read a source"
)
def get_one_source(call: Call, source_id: str) -> Any:
    return get_source(source_id)


@operation(
    "PUT",
    "/sources/{source_id}",
    body=SourceIn,
    answer=SourceOut,
    revised=True,
    errors=(SourceNotFound,),
    summary="Replace a source",
)
def replace_source(call: Call, source_id: str) -> Any:
    body = call.body.model_dump()
    if "password" not in call.body.model_fields_set:
        del body["password"]
    return sources.replace(source_id, body, revision=call.revision, actor=call.actor, now=call.now)


@operation(
    "PATCH",
    "/sources/{source_id}",
    body=SourcePatch,
    answer=SourceOut,
    revised=True,
    errors=(SourceNotFound,),
    summary="Change the named fields of a source",
)
def patch_source(call: Call, source_id: str) -> Any:
    changes = call.body.model_dump(exclude_unset=True)
    return sources.patch(source_id, changes, revision=call.revision, actor=call.actor, now=call.now)


@operation(
    "DELETE",
    "/sources/{source_id}",
    revised=True,
    errors=(SourceNotFound, StillReferenced),
    summary="Delete a source and its password",
)
def delete_source(call: Call, source_id: str) -> Any:
    return sources.delete(source_id, revision=call.revision, actor=call.actor, now=call.now)


@operation(
    "POST",
    "/sources/{source_id}/test",
    answer=SourceTested,
    errors=(SourceNotFound, AddressRefused, SourceUnreachable, SourceRefused, ConnectionDropped, StatementTimedOut),
    keep_answer=False,
    summary="Connect to a source and say what answered",
)
def test_source(call: Call, source_id: str) -> Any:
    return previews.test_source(source_id)
