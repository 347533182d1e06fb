"""The module of views of each route, by the route's whole path or its first part."""

from __future__ import annotations

from importlib import import_module

from chalicelib.api.operation import OPERATIONS, Operation

MODULES = {
    "health": "health",
    "openapi.json": "health",
    "tasks": "tasks",
    "schedules": "schedules",
    "jobs": "jobs",
    "jobs/batch": "batches",
    "batches": "batches",
    "reports": "reports",
    "sources": "sources",
    "calendars": "calendars",
    "pools": "pools",
    "me": "tokens",
    "tokens": "tokens",
    "audit": "audit",
}


def operation(method: str, path: str) -> Operation:
    import_module(f"chalicelib.api.views.{MODULES.get(path[1:]) or MODULES[path.split('/')[1]]}")
    return OPERATIONS[method, path]


def operations() -> list[Operation]:
    """Every operation, in the order of the OpenAPI document."""
    for module in MODULES.values():
        import_module(f"chalicelib.api.views.{module}")
    return list(OPERATIONS.values())
