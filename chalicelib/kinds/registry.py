"""The kinds of task: a folder each, and a row here."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from chalicelib.kinds.protocol import Kind

if TYPE_CHECKING:
    from pydantic import BaseModel

# kind -> the function that makes it, named as text: a kind's libraries are loaded when its first job runs.
KINDS: dict[str, str] = {
    "report_export": "chalicelib.kinds.report_export.wiring:report_export",
}


@cache
def kind_of(name: str) -> Kind:
    """The kind of this name; `KeyError` for one that does not exist."""
    module, function = KINDS[name].split(":")
    kind: Kind = getattr(import_module(module), function)()
    return kind


def spec_models() -> dict[str, type[BaseModel]]:
    """The model of each kind's spec."""
    return {name: kind_of(name).Spec for name in KINDS}


def preconditions() -> list[str]:
    """The reasons that a job of any kind may be blocked for."""
    return sorted(set().union(*(kind_of(name).preconditions for name in KINDS)))


def definition_words() -> str:
    """What the definition of a job holds, kind by kind."""
    return "; ".join(f"for a {name} {kind_of(name).definition_holds}" for name in KINDS)
