"""The kinds of task: one module each, behind the small protocol in `protocol.py`. The core knows none of them."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from chalicelib.kinds.protocol import Kind

# kind -> the function that makes it, named as text: a kind's libraries are loaded when its first job runs.
KINDS: dict[str, str] = {
    "report_export": "chalicelib.kinds.report_export_parts:report_export",
}


@cache
def kind_of(name: str) -> Kind:
    """The kind of this name; `KeyError` for one that does not exist."""
    module, function = KINDS[name].split(":")
    kind: Kind = getattr(import_module(module), function)()
    return kind
