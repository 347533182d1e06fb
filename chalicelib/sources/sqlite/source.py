"""SQLite: a file in the stage's data folder, opened read-only."""

# ruff: noqa: S608 - the query is the report's own text, closed by sources/sql.py; values are bound

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from chalicelib.errors import QueryFailed, QueryInterrupted, RunError, SourceUnreachable, StatementTimedOut, Stopped
from chalicelib.sources.blocks import BlockWriter
from chalicelib.sources.columns import refuse_unusable_columns
from chalicelib.sources.csv_options import CsvOptions, LineEnds
from chalicelib.sources.preview_limits import within_limits
from chalicelib.sources.protocol import Column, Preview, Query, Sink, SourceInfo
from chalicelib.sources.quoted_values import QUOTES, masked
from chalicelib.sources.sql import Statement, parse_reading
from chalicelib.sources.sql_tokens import Dialect
from chalicelib.sources.sqlite.csv_blocks import Marks, blocks, wrapped
from chalicelib.sources.sqlite.preview import first_rows, shown
from chalicelib.sources.stopping import Stopping, after

if TYPE_CHECKING:
    import sqlite3

DIALECT = Dialect(bracket_names=True, other_parameters="?@$", returns_end_lines=False)
# SQLite does not leave this wait for a stop, which must end it within five seconds.
BUSY_SECONDS = 3.0
# SQLite works inside this process, whose memory a query may not fill. Bytes of one value, text of a whole query
# included; and of all that SQLite holds at once.
LONGEST_VALUE = 32 << 20
MEMORY = 256 << 20
# Characters of a LIKE or GLOB pattern. The time of such a comparison grows with both of its texts, and the clock of a
# statement cannot break one comparison off.
LONGEST_PATTERN = 1_000
# How messages begin that quote names and the query's own text. What others quote may be a value.
ABOUT_THE_QUERY = ("near ", "no such ", "ambiguous column", "unrecognized token", "incomplete input", "wrong number of")


class SqliteSettings(BaseModel):
    """`datetime_format` is how the file stores instants, and so how window bounds are bound: `2013-01-31 16:00:00`,
    `2013-01-31T16:00:00Z`, or seconds since 1970; always UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, Field(max_length=1_000, description="Below the stage's data folder", examples=["shop.db"])]
    datetime_format: Annotated[
        Literal["text", "iso", "epoch"],
        Field(
            description="How bounds are bound: 2013-01-31 16:00:00, 2013-01-31T16:00:00Z, or seconds since 1970; UTC"
        ),
    ] = "text"
    show_values: Annotated[
        bool, Field(strict=True, description="Errors show the values that the database quotes; otherwise `***`")
    ] = False

    @field_validator("path")
    @classmethod
    def _inside_the_data_folder(cls, value: str, info: ValidationInfo) -> str:
        folder: Path | None = (info.context or {}).get("data_folder")
        if folder is None:
            raise ValueError("this stage has no data folder, so it has no sqlite sources")
        path = Path(value)
        if not value.strip() or "\x00" in value or path.is_absolute() or ".." in path.parts:
            raise ValueError("the path is relative to the data folder and stays inside it")
        if not (folder / path).resolve().is_relative_to(folder.resolve()):
            raise ValueError("the path leaves the data folder by a link")
        return value


class SqliteSource:
    Settings = SqliteSettings
    dialect = DIALECT
    address = ()

    def __init__(
        self,
        settings: SqliteSettings,
        secret: str | None,
        *,
        data_folder: str | Path | None = None,
        statement_timeout_seconds: float | None = None,
        application_name: str = "carillon",
    ) -> None:
        self._settings = settings
        self._path = (Path(data_folder or ".") / settings.path).resolve()
        self._timeout = statement_timeout_seconds
        self._stopping = Stopping(self._interrupt)
        self._connection: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def cancel(self) -> None:
        self._stopping.stop()

    def _interrupt(self, seconds: float) -> bool:
        connection = self._connection
        if connection is not None:
            with suppress(Exception):  # a connection that was closed meanwhile has nothing to interrupt
                connection.interrupt()
        return True

    def test(self) -> SourceInfo:
        with self._statement("test") as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            (version,) = connection.execute("SELECT sqlite_version()").fetchone()
        return SourceInfo("SQLite", version, "", True)

    def describe(self, query: Query) -> tuple[Column, ...]:
        return self._describe(query, _parse(query))

    def preview(self, query: Query, limit: int) -> Preview:
        statement = _parse(query)
        columns = self._describe(query, statement)
        with self._statement(query.name) as connection:
            sql = first_rows(_text(statement), columns=len(columns), limit=limit)
            with closing(connection.execute(sql, self._bound(query, statement))) as cursor:
                rows, more = within_limits(([shown(value) for value in row] for row in cursor), limit)
        return Preview(columns, rows, more)

    def export_csv(self, query: Query, options: CsvOptions, sink: Sink) -> int:
        statement = _parse(query)
        columns = self._describe(query, statement)
        marks = Marks(options, secrets.token_hex(16), single_column=len(columns) == 1)
        values = {**self._bound(query, statement), **marks.values}
        line_ends = LineEnds(b"\r\n", b"\n") if options.line_end.bytes == b"\n" else None
        out = BlockWriter(sink, options.prologue([column.name for column in columns]), line_ends)
        numbers = count()
        with self._statement(query.name) as connection:
            sql = wrapped(_text(statement), columns, options, fenced=_needs_fence(connection, statement))
            with closing(connection.execute(sql, values)) as cursor:
                # Counting in C: each row is paired with the next number, and only the row goes on.
                rows = map(itemgetter(0), zip(cursor, numbers, strict=False))
                for block in blocks(rows, options.delimiter):
                    out.write(marks.replace(block))
        out.hand_on_last()
        return next(numbers)

    def _describe(self, query: Query, statement: Statement) -> tuple[Column, ...]:
        text, values = _text(statement), self._bound(query, statement)
        with self._statement(query.name) as connection:
            cursor = connection.execute(f"SELECT * FROM (\n{text}\n) LIMIT 0", values)
            names = [column[0] for column in cursor.description or ()]
            # Inside parentheses a second column `a` is called `a:1`. Only the query itself tells it from a column of
            # that name.
            if any(name.rpartition(":")[0] in names for name in names):
                with closing(connection.execute(text, values)) as cursor:
                    names = [column[0] for column in cursor.description or ()]
            refuse_unusable_columns(query.name, names)
            types = _declared_types(connection, statement)
        return tuple(Column(name, types.get(name, "")) for name in names)

    def _bound(self, query: Query, statement: Statement) -> dict[str, Any]:
        statement.need_values(query.values, query.name)
        form = self._settings.datetime_format
        return {name: _bindable(name, query.values[name], form) for name in sorted(statement.parameters)}

    @contextmanager
    def _statement(self, name: str) -> Iterator[sqlite3.Connection]:
        """The connection, with the clock of the statement running. Turns the driver's errors into `RunError`s."""
        import sqlite3

        def timed_out() -> StatementTimedOut:
            return StatementTimedOut(f"Query {name!r} ran longer than its limit of {self._timeout:g} s.")

        limits = [] if self._timeout is None else [after(self._timeout, timed_out)]
        with self._stopping.interruptible():
            try:
                if self._connection is None:
                    self._connection = self._connect()
                with self._stopping.limited(*limits):
                    yield self._connection
            except (sqlite3.Error, sqlite3.Warning, UnicodeError, MemoryError) as error:
                if self._stopping.asked:
                    raise Stopped() from None
                raise _refusal(error, name, show_values=self._settings.show_values) from None

    def _connect(self) -> sqlite3.Connection:
        import sqlite3

        from chalicelib.sources.sqlite.authorizer import authorize

        try:
            connection = sqlite3.connect(
                f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=BUSY_SECONDS, check_same_thread=False
            )
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, LONGEST_PATTERN)
            connection.execute(f"PRAGMA hard_heap_limit = {MEMORY}").fetchone()
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            connection.set_authorizer(authorize)
        except sqlite3.Error as error:
            raise SourceUnreachable(f"The file {self._settings.path!r} cannot be opened: {error}") from None
        return connection


def _needs_fence(connection: sqlite3.Connection, statement: Statement) -> bool:
    """Whether SQLite, merging the levels of the query, could compute a column twice with two results (`random()`).

    The fence costs a fifth of the time, and plain columns do not need it.
    """
    if statement.computes:
        return True
    (views,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'view'").fetchone()
    return bool(views)


def _declared_types(connection: sqlite3.Connection, statement: Statement) -> dict[str, str]:
    """Column name -> declared type. SQLite tells it of views only, so this makes a temporary one, outside the file."""
    import sqlite3

    from chalicelib.sources.sqlite.authorizer import DESCRIBED

    text = statement.render(lambda _: "NULL")
    with suppress(sqlite3.Error):
        connection.execute(f"CREATE TEMP VIEW {DESCRIBED} AS SELECT * FROM (\n{text}\n)")
        try:
            rows = connection.execute(f"PRAGMA temp.table_info({DESCRIBED})").fetchall()
        finally:
            connection.execute(f"DROP VIEW temp.{DESCRIBED}")
        return {name: declared for _, name, declared, *_ in rows}
    return {}


def _bindable(name: str, value: Any, datetime_format: str) -> Any:
    """The value as SQLite takes it; `QueryFailed` naming the parameter when it has no such value."""
    if isinstance(value, datetime):
        instant = value.astimezone(UTC)
        if datetime_format == "epoch":
            return int(instant.timestamp())
        # Four digits of year also before 1000.
        if datetime_format == "iso":
            return instant.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
        return instant.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        whole = isinstance(value, int)
        if not (-(2**63) <= value < 2**63 if whole else abs(float(value)) < float("inf")):
            raise QueryFailed(f"The value of {name} is too large a number for SQLite.", field=f"parameters.{name}")
        return value if whole else float(value)
    return value


def _text(statement: Statement) -> str:
    return statement.render(lambda name: f":{name}")


def _parse(query: Query) -> Statement:
    return parse_reading(query.sql, DIALECT, query.name)


def _refusal(error: Exception, name: str, *, show_values: bool) -> RunError:
    if isinstance(error, MemoryError):
        return QueryFailed(f"Query {name!r} needs more memory than the {MEMORY >> 20} MiB that there are.")
    code, said = getattr(error, "sqlite_errorname", ""), str(error).rstrip(".")
    if not show_values and not said.startswith(ABOUT_THE_QUERY):
        said = masked(said, QUOTES + "'")
    if code.startswith("SQLITE_READONLY"):
        return QueryFailed(f"Query {name!r} writes, and a report may only read: {said}.")
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return QueryInterrupted(f"The file is locked by a program that writes to it: {said}.")
    return QueryFailed(f"The database refused query {name!r}: {said}.")
