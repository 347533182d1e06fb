"""Edits by revision: each write of a definition is conditional on the revision that was read."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from chalicelib.errors import StaleRevision, WrongState

P = ParamSpec("P")
T = TypeVar("T")

# An edit that others keep overtaking gives up after this many tries, and its caller gets a 409.
TRIES = 5


def again_when_overtaken(edit: Callable[P, T]) -> Callable[P, T]:
    """Repeat an edit that another one overtook between its read and its write, when the caller names no `revision`.

    Such a caller wants the edit done to the record as it is, so StaleRevision, an answer to If-Match, is not for it.
    Not for a replacement as a whole, which would lose the other edit. Raises WrongState after TRIES.
    """

    @wraps(edit)
    def repeated(*given: P.args, **named: P.kwargs) -> T:
        if named.get("revision") is not None:
            return edit(*given, **named)
        for _ in range(TRIES):
            try:
                return edit(*given, **named)
            except StaleRevision:
                continue
        raise WrongState("The record is being edited by others; try again.")

    return repeated
