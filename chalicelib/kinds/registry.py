"""The kinds of task there are: one folder each, and one row here."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from chalicelib.kinds.protocol import Kind

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
