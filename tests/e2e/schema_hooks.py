"""What schemathesis calls in its own process, to make what it makes up reach further, though no other machine."""

from __future__ import annotations

import json
import os
import re
from typing import Any
from zlib import crc32

import schemathesis

KNOWN = "SCHEMA_KNOWN_IDS"
# Field of an id -> ids of records that exist.
_KNOWN: dict[str, list[str]] = json.loads(os.environ.get(KNOWN, "{}"))
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# What the system's resolver takes for an address, `8` and `0x7f` included. Any other name is found nowhere.
_ADDRESS = re.compile(r"[0-9a-fx.:%]{1,253}", re.IGNORECASE)


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> Any:
    return with_known(path_parameters)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    return with_known(body)


def with_known(value: Any, name: str = "") -> Any:
    """The value with two of three made-up ids replaced by ones that exist: else nearly all there is to say is 404."""
    if isinstance(value, dict):
        return {key: with_known(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [with_known(item, name.removesuffix("s")) for item in value]
    if name not in _KNOWN or not isinstance(value, str) or not _ID.fullmatch(value) or value in _KNOWN[name]:
        return value
    # The same value gives the same id, so that a run repeats.
    chosen, rest = divmod(crc32(value.encode()), 3)
    return value if rest == 0 else _KNOWN[name][chosen % len(_KNOWN[name])]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    settings = case.body.get("settings") if isinstance(case.body, dict) else None
    host = settings.get("host") if isinstance(settings, dict) else None
    if isinstance(host, str) and _ADDRESS.fullmatch(host):
        settings["host"] = "127.0.0.1"
