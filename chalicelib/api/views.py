"""Where each route's view lives, by the first part of its path."""

from __future__ import annotations

from importlib import import_module

from chalicelib.api.operation import OPERATIONS, Operation

MODULES = {
    "health": "health",
    "openapi.json": "health",
    "tasks": "tasks",
    "schedules": "schedules",
    "jobs": "jobs",
    "reports": "reports",
    "sources": "sources",
    "calendars": "calendars",
    "me": "tokens",
    "tokens": "tokens",
    "pools": "pools",
    "audit": "audit",
}


def operation(method: str, path: str) -> Operation:
    import_module(f"chalicelib.api.{MODULES[path.split('/')[1]]}")
    return OPERATIONS[method, path]


def operations() -> list[Operation]:
    """Every operation, in the order OpenAPI shows them."""
    for module in MODULES.values():
        import_module(f"chalicelib.api.{module}")
    return list(OPERATIONS.values())
