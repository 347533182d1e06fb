"""Pools: how many jobs wait and run in each, and pausing a pool."""

from __future__ import annotations

from typing import Any

from chalicelib.api.models.base import Listing
from chalicelib.api.models.pools import PoolOut, PoolPatch, PoolQuery
from chalicelib.api.operation import Call, operation
from chalicelib.errors import PoolNotFound
from chalicelib.paging import cut
from chalicelib.queue import pools


@operation("GET", "/pools", query=PoolQuery, answer=Listing[PoolOut], summary="List pools, by name")
def list_pools(call: Call) -> Any:
    return cut(pools.everything(), page=call.query.page, page_size=call.query.page_size)


@operation("GET", "/pools/{pool_id}", answer=PoolOut, revised=True, errors=(PoolNotFound,), summary="Read a pool")
def get_pool(call: Call, pool_id: str) -> Any:
    return pools.get(pool_id)


@operation(
    "PATCH",
    "/pools/{pool_id}",
    body=PoolPatch,
    answer=PoolOut,
    revised=True,
    errors=(PoolNotFound,),
    summary="Pause a pool or let it go on; while paused nothing is claimed from it",
)
def patch_pool(call: Call, pool_id: str) -> Any:
    changes = call.body.model_dump(exclude_unset=True)
    return pools.patch(pool_id, changes, revision=call.revision, actor=call.actor, now=call.now)
