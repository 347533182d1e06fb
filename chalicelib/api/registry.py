"""Every blueprint, in the order OpenAPI shows them."""

from __future__ import annotations

from importlib import import_module

from chalicelib.api.blueprint import Blueprint
from chalicelib.api.operation import Operation

MODULES = ("health", "tokens")


def blueprints() -> list[Blueprint]:
    found: list[Blueprint] = [import_module(f"chalicelib.api.{name}").bp for name in MODULES]
    return found


def operations() -> list[Operation]:
    return [operation for blueprint in blueprints() for operation in blueprint.operations]
