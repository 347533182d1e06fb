"""Where a report's data comes from: one module per kind of source, behind one small protocol.

A source hands out **blocks of CSV bytes**, not rows: the databases make CSV many times faster than Python does. What
travels from here to the upload is therefore opaque, except for the number of rows.

`SOURCES` is the registry. It names classes by string, and the classes import their drivers inside functions, so that
looking at a source's settings loads no database driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pydantic

from chalicelib.errors import FieldProblem, Invalid
from chalicelib.exports.csv_options import CsvOptions

SOURCES: dict[str, str] = {
    "postgres": "chalicelib.sources.postgres:PostgresSource",
    "sqlite": "chalicelib.sources.sqlite:SqliteSource",
}


@dataclass(frozen=True)
class Query:
    """A named SELECT; `values` are what its `:name` parameters stand for. Datetimes are aware."""

    name: str
    sql: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A column of a result; `type` is the database's own word for it, empty when it has none."""

    name: str
    type: str

    def as_dict(self) -> dict[str, str]:
        return {"name": self.name, "type": self.type}


@dataclass(frozen=True)
class SourceInfo:
    """What answered a test of the connection. `read_only` tells whether the database itself refuses writes on it."""

    product: str
    version: str
    user: str
    read_only: bool


@dataclass(frozen=True)
class Preview:
    """The first rows, each value as the database writes it in text, NULL as None. `more` when there were further
    rows.
    """

    columns: tuple[Column, ...]
    rows: list[list[str | None]]
    more: bool


Sink = Callable[[bytes], object]


class Source(Protocol):
    """A connection to a source. It connects when first used; every method may raise a `RunError`."""

    def test(self) -> SourceInfo: ...

    def describe(self, query: Query) -> tuple[Column, ...]:
        """The query's columns, without fetching a row. `QueryFailed` when it has none, or two of one name."""

    def preview(self, query: Query, limit: int) -> Preview: ...

    def export_csv(self, query: Query, options: CsvOptions, sink: Sink) -> int:
        """Push the whole result as CSV into `sink`, in blocks of at least 1 MiB except the last; the number of rows.

        Nothing reaches the sink of a query that cannot begin. What the sink raises passes through, after the
        statement was stopped at the database.
        """

    def cancel(self) -> None:
        """Stop what runs, from another thread; the method in progress, and every later one, raises `Stopped`."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_source(
    kind: str,
    settings: Mapping[str, Any],
    secret: str | None,
    *,
    statement_timeout_seconds: float | None = None,
    data_folder: str | Path | None = None,
    application_name: str = "carillon",
) -> Source:
    """A source ready to use in a `with` block. `secret` is the password of a kind that has one."""
    source_class = _source_class(kind)
    source: Source = source_class(
        _validated(source_class, settings, data_folder),
        secret,
        data_folder=data_folder,
        statement_timeout_seconds=statement_timeout_seconds,
        application_name=application_name,
    )
    return source


def check_settings(kind: str, settings: Mapping[str, Any], *, data_folder: str | Path | None = None) -> dict[str, Any]:
    """The settings as they are stored, or `Invalid` naming `kind` or each `settings.<name>` at fault."""
    canonical: dict[str, Any] = _validated(_source_class(kind), settings, data_folder).model_dump(mode="json")
    return canonical


def _source_class(kind: str) -> Any:
    if kind not in SOURCES:
        known = ", ".join(sorted(SOURCES))
        raise Invalid(f"There is no kind of source named {kind!r}; there are {known}.", field="kind")
    module, _, name = SOURCES[kind].partition(":")
    return getattr(import_module(module), name)


def _validated(source_class: Any, settings: Mapping[str, Any], data_folder: str | Path | None) -> pydantic.BaseModel:
    context = {"data_folder": None if data_folder is None else Path(data_folder)}
    try:
        model: pydantic.BaseModel = source_class.Settings.model_validate(dict(settings), context=context)
    except pydantic.ValidationError as error:
        raise Invalid("The source's settings cannot be accepted.", problems=field_problems(error, "settings")) from None
    return model


def field_problems(error: pydantic.ValidationError, prefix: str) -> list[FieldProblem]:
    """One problem per field. The rejected values are left out: somebody may have typed a password into the wrong
    field.
    """
    problems = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(part) for part in (prefix, *item["loc"]))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "string_pattern_mismatch":
            message = "It holds characters that are not allowed here."
        problems.append(FieldProblem(path, message[:1].upper() + message[1:]))
    return problems
