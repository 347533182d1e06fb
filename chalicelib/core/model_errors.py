"""From the errors of a pydantic model to problems of fields. `core` does not import pydantic: it reads the error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from chalicelib.errors import FieldProblem

NOT_ALLOWED = "It holds characters that are not allowed here."


class ModelError(Protocol):
    """The part of `pydantic.ValidationError` that is read here."""

    def errors(self, *, include_url: bool, include_input: bool) -> list[Any]:
        """`{"type": …, "loc": (…), "msg": …, "ctx": {…}}` for each value that was refused."""


def said(item: Mapping[str, Any]) -> str:
    """The message about one refused value; a pattern is left out, since callers do not read patterns."""
    if item["type"] == "string_pattern_mismatch":
        return NOT_ALLOWED
    text = str(item["msg"]).removeprefix("Value error, ")
    return text[:1].upper() + text[1:]


def field_problems(
    error: ModelError,
    prefix: str = "",
    *,
    depth: int | None = None,
    whole: str = "",
    say: Callable[[Mapping[str, Any]], str] = said,
) -> list[FieldProblem]:
    """One problem per refused value, for the field `<prefix>.<name>`, whose name has at most `depth` parts.

    A problem of the model as a whole has the prefix as field, or without a prefix `whole`. Refused values are left out:
    a caller may have put a password into the wrong field.
    """
    problems = []
    for item in error.errors(include_url=False, include_input=False):
        parts = ([prefix] if prefix else []) + [str(part) for part in item["loc"][:depth]]
        problems.append(FieldProblem(".".join(parts) or whole, say(item)))
    return problems
