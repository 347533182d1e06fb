"""What every source can do, and the values that go in and out.

A source gives **blocks of CSV bytes**, not rows: databases write CSV many times faster than Python does. The export
passes the bytes on without reading them, and knows their number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

from pydantic import BaseModel

from chalicelib.sources.csv_options import CsvOptions
from chalicelib.sources.sql_tokens import Dialect


@dataclass(frozen=True)
class Query:
    """A named SELECT, and the `values` of its `:name` parameters. Datetimes are aware."""

    name: str
    sql: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A column of a result; `type` is the database's own name of its type, empty when it has none."""

    name: str
    type: str

    def as_dict(self) -> dict[str, str]:
        return {"name": self.name, "type": self.type}


class Tls(StrEnum):
    """How a connection over the network is protected."""

    VERIFIED = "verified"  # encrypted, and the server is the one that the source names
    UNVERIFIED = "unverified"  # encrypted, with a server that did not prove who it is
    NONE = "none"  # in clear


@dataclass(frozen=True)
class SourceInfo:
    """The database that answered a test of the connection. `read_only` says whether it refuses writes on it, also
    through functions. `powers` name what the user may do beyond reading tables, `warnings` what an administrator should
    know. `tls` is None where there is no network.
    """

    product: str
    version: str
    user: str
    read_only: bool
    tls: Tls | None = None
    powers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preview:
    """The first rows, within the limits of `preview_limits.py`. Each value is the text that the database writes for it,
    or its first VALUE_CHARACTERS + 1 characters; NULL is None. `more` says that there are further rows.
    """

    columns: tuple[Column, ...]
    rows: list[list[str | None]]
    more: bool


Sink = Callable[[bytes], object]


class Source(Protocol):
    """A connection to a source. It connects when first used; every method may raise a `RunError`.

    A call of its driver that waits for the network stands inside `Stopping.interruptible` and can be ended from another
    thread (`sources/stopping.py`); what cannot, such as connecting, is done in `Stopping.apart`.
    """

    # What a source of this kind says about itself; the API documents it. The password is never among it.
    Settings: ClassVar[type[BaseModel]]
    dialect: ClassVar[Dialect]
    # The settings that say where the password goes. A change of one of them needs the password again: otherwise the
    # stored one would go to another server.
    address: ClassVar[tuple[str, ...]]

    def test(self) -> SourceInfo: ...

    def describe(self, query: Query) -> tuple[Column, ...]:
        """The query's columns, without fetching a row. `QueryFailed` when it has none, or two of one name."""

    def preview(self, query: Query, limit: int) -> Preview: ...

    def export_csv(self, query: Query, options: CsvOptions, sink: Sink) -> int:
        """Push the whole result as CSV into `sink`, in blocks of at least 1 MiB except the last; the number of rows.

        A query that cannot begin pushes nothing. An error of the sink ends the statement at the database and is raised
        on.
        """

    def cancel(self) -> None:
        """Stop the statement, from another thread. Returns at once. The method in progress raises `Stopped` within
        `stopping.PATIENCE_SECONDS` (or the source's own setting of it), whichever fault the network has, and so does
        every later method. `may_still_run` of the error says whether the server could not be told: the statement may
        still run there. The same holds for the statement timeout, which raises `StatementTimedOut`.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
