"""The formats that a file may have: one module each, and one row here."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from chalicelib.exports.formats.protocol import Format

# name -> the class, named as text: a format's libraries are loaded when its first file is written.
FORMATS: dict[str, str] = {
    "csv": "chalicelib.exports.formats.csv:Csv",
}
DEFAULT = "csv"


@cache
def format_of(name: str) -> Format:
    """The format of this name; `KeyError` for one that does not exist."""
    module, class_name = FORMATS[name].split(":")
    found: Format = getattr(import_module(module), class_name)()
    return found
