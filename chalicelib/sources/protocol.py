"""What every kind of source can do, and the values that pass to and fro.

A source hands out **blocks of CSV bytes**, not rows: the databases make CSV many times faster than Python does. What
travels from here to the upload is therefore opaque, except for the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

from pydantic import BaseModel

from chalicelib.sources.csv_options import CsvOptions
from chalicelib.sources.sql import Dialect


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

    # What a source of this kind says about itself; the API documents it. The password is never among it.
    Settings: ClassVar[type[BaseModel]]
    dialect: ClassVar[Dialect]
    # The settings that say where the password goes: who changes one of them has to give the password again.
    address: ClassVar[tuple[str, ...]]

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
