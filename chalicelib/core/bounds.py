"""Texts and documents cut to a number of bytes, so that they fit a record."""

from __future__ import annotations

import json
from typing import Any

CUT = " …"
# The longest text that is left in a document, in characters: the first that makes it small enough.
LENGTHS = (16_000, 4_000, 1_000, 250, 60, 10)


def shortened(text: str, most: int) -> str:
    """The text, or its beginning with an ellipsis, in at most so many bytes of UTF-8."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= most:
        return raw.decode()
    return raw[: most - len(CUT.encode())].decode("utf-8", "ignore") + CUT


def json_bytes(document: Any) -> int:
    """The size of a document as the tables hold it: JSON in ASCII, in which 報 takes six bytes."""
    return len(json.dumps(document))


def shrunk(document: dict[str, Any], most: int) -> dict[str, Any]:
    """The document, or one whose long texts are cut, in at most so many bytes of JSON.

    Where its names and numbers alone are too many, nothing is left but its size.
    """
    size = json_bytes(document)
    if size <= most:
        return document
    for length in LENGTHS:
        found: dict[str, Any] = _with_short_texts(document, length)
        if json_bytes(found) <= most:
            return found
    return {"too_large": {"bytes": size}}


def _with_short_texts(value: Any, length: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= length else value[:length] + CUT
    if isinstance(value, dict):
        return {name: _with_short_texts(each, length) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_short_texts(each, length) for each in value]
    return value
