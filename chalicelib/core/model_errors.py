"""What a model refused, as problems of fields. The model's library stays outside: its error is taken as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from chalicelib.errors import FieldProblem

NOT_ALLOWED = "It holds characters that are not allowed here."


class ModelError(Protocol):
    """As far as it is read here, `pydantic.ValidationError`."""

    def errors(self, *, include_url: bool, include_input: bool) -> list[Any]:
        """`{"type": …, "loc": (…), "msg": …, "ctx": {…}}` for each value that was refused."""


def said(item: Mapping[str, Any]) -> str:
    """The message of one refused value. A pattern means nothing to the person who typed the value."""
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
    """One problem per refused value: `<prefix>.<field>`, the field's name of at most `depth` parts. Without a prefix, a
    problem of the model itself has the name `whole`.

    The values are left out: a password may have been typed into the wrong field.
    """
    problems = []
    for item in error.errors(include_url=False, include_input=False):
        parts = ([prefix] if prefix else []) + [str(part) for part in item["loc"][:depth]]
        problems.append(FieldProblem(".".join(parts) or whole, say(item)))
    return problems
