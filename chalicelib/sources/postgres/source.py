"""PostgreSQL: the query runs inside `COPY ( … ) TO STDOUT`, so the server itself makes the CSV.

One export is one read-only transaction with one snapshot for all of its queries, so that a report's totals agree with
its details. The transaction sets what the session needs (`set_config(…, true)`), so it also holds behind a pooler that
gives each transaction another connection. Each statement begins by rolling back to the savepoint after those settings,
which undoes what an earlier query set, by `set_config()` or through a function.
"""

# ruff: noqa: S608 - the query is the report's own text, closed by sources/sql.py; the driver quotes the values

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chalicelib import clock, outbound
from chalicelib.errors import ConnectionDropped, QueryFailed, SourceUnreachable, Stopped
from chalicelib.sources.blocks import BlockWriter
from chalicelib.sources.columns import refuse_unusable_columns
from chalicelib.sources.csv_options import CsvOptions, LineEnds
from chalicelib.sources.postgres.connecting import WARNINGS, connected, tls_of, unreachable
from chalicelib.sources.postgres.errors import session_error, statement_error, statement_limit_error
from chalicelib.sources.postgres.formula_guard import UNCATEGORISED_TEXTS, Described, guarded
from chalicelib.sources.postgres.line import Line
from chalicelib.sources.postgres.powers import powers_of, refuse_superuser
from chalicelib.sources.postgres.preview import rows_of
from chalicelib.sources.postgres.settings import PostgresSettings
from chalicelib.sources.preview_limits import within_limits
from chalicelib.sources.protocol import Column, Preview, Query, Sink, SourceInfo
from chalicelib.sources.sql import Statement, parse_reading
from chalicelib.sources.sql_tokens import Dialect
from chalicelib.sources.stopping import Limit, Stopping, after

DIALECT = Dialect(escape_strings=True, dollar_quotes=True, nested_comments=True)
# What shapes the text of a value, the same for every database and role. `ISO` alone leaves the order of day and month
# in what a query reads as the database has it.
OUTPUT = {
    "standard_conforming_strings": "on",  # the tokenizer reads strings this way
    "client_encoding": "UTF8",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",  # the shortest text that reads back as the same number
}
# With these a server ends the statement of a client that is gone, also one that sends no rows. A worker that dies
# closes its connection; the keepalives notice a machine that vanishes.
GONE = {
    "client_connection_check_interval": "2s",
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
GONE_SINCE = 140000
# The server ends a statement by its own clock first, and says so. It cannot while the line takes no rows.
STATEMENT_GRACE_SECONDS = 1.0
# libpq tries each address of a name for `connect_timeout`; then this much more for the thread to end.
CONNECT_GRACE_SECONDS = 1.0


class PostgresSource:
    Settings = PostgresSettings
    dialect = DIALECT
    address = ("host", "port", "database", "user", "sslmode", "ca_certificate")

    def __init__(
        self,
        settings: PostgresSettings,
        secret: str | None,
        *,
        data_folder: str | Path | None = None,
        statement_timeout_seconds: float | None = None,
        application_name: str = "carillon",
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._timeout = statement_timeout_seconds
        self._application_name = application_name
        self._stopping = Stopping(self._ask, self._break_off, patience_seconds=settings.cancel_timeout)
        self._connection: Any = None
        self._line: Line | None = None
        self._in_transaction = False
        self._last: tuple[Query, Described] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        line, self._line = self._line, None
        self._in_transaction = False
        if connection is not None:
            with suppress(Exception):
                connection.close()
        if line is not None:
            line.close()

    def cancel(self) -> None:
        self._stopping.stop()

    def _ask(self, seconds: float) -> bool:
        line = self._line
        return line is not None and line.cancel(seconds)

    def _break_off(self) -> bool:
        line = self._line
        return line is not None and line.cut()

    def test(self) -> SourceInfo:
        with self._statement("test") as cursor:
            cursor.execute(
                "SELECT current_setting('server_version'), current_user, "
                "current_setting('transaction_read_only') = 'on'"
            )
            version, user, read_only = cursor.fetchone()
            powers = powers_of(cursor)
            tls = tls_of(self._connection, self._settings)
        warnings = [WARNINGS[self._settings.sslmode]] if self._settings.sslmode in WARNINGS else []
        if powers:
            warnings.append(f"The user may do more than read tables: {', '.join(powers)}.")
        return SourceInfo("PostgreSQL", version, user, read_only and not powers, tls, powers, tuple(warnings))

    def describe(self, query: Query) -> tuple[Column, ...]:
        return self._describe(query, _parse(query)).columns

    def preview(self, query: Query, limit: int) -> Preview:
        statement = _parse(query)
        described = self._describe(query, statement)
        with self._statement(query.name) as cursor:
            sql = self._render(statement, query, cursor)
            found = rows_of(cursor, sql, columns=len(described.columns), limit=limit)
            rows, more = within_limits(found, limit)
        return Preview(described.columns, rows, more)

    def export_csv(self, query: Query, options: CsvOptions, sink: Sink) -> int:
        statement = _parse(query)
        described = self._describe(query, statement)
        line_ends = LineEnds(b"\n", options.line_end.bytes) if options.line_end.bytes != b"\n" else None
        blocks = BlockWriter(sink, options.prologue([column.name for column in described.columns]), line_ends)
        with self._statement(query.name, failed=lambda: blocks.error) as cursor:
            sql = self._render(statement, query, cursor)
            if options.formula_guard and described.text_columns:
                sql = guarded(sql, described, cursor, fenced=statement.computes)
            null = cursor.mogrify("%s", (options.null_text,)).decode()
            delimiter = cursor.mogrify("%s", (options.delimiter,)).decode()
            copy = f"COPY (\n{sql}\n) TO STDOUT WITH (FORMAT csv, DELIMITER {delimiter}, NULL {null}, ENCODING 'UTF8')"
            # The buffer's write is C: a row costs no Python call, a MiB costs one.
            buffer = io.BufferedWriter(blocks, BlockWriter.BUFFER_BYTES)
            try:
                cursor.copy_expert(copy, buffer)
            except BaseException:
                blocks.discard()
                raise
            buffer.flush()
            rows = int(cursor.rowcount)
        blocks.hand_on_last()
        return rows

    def _describe(self, query: Query, statement: Statement) -> Described:
        if self._last is not None and self._last[0] is query:
            return self._last[1]
        with self._statement(query.name) as cursor:
            cursor.execute(f"SELECT * FROM (\n{self._render(statement, query, cursor)}\n) AS q LIMIT 0".encode())
            names = [column.name for column in cursor.description or ()]
            oids = tuple(column.type_code for column in cursor.description or ())
            cursor.execute(
                "SELECT oid, pg_catalog.format_type(oid, NULL), typcategory IN ('S', 'E') OR oid = ANY (%s::oid[]) "
                "FROM pg_catalog.pg_type WHERE oid = ANY (%s::oid[])",
                (list(UNCATEGORISED_TEXTS), list(oids)),
            )
            types = {oid: (name, is_text) for oid, name, is_text in cursor.fetchall()}
        refuse_unusable_columns(query.name, names)
        columns = tuple(Column(name, types[oid][0]) for name, oid in zip(names, oids, strict=True))
        text_columns = frozenset(position for position, oid in enumerate(oids) if types[oid][1])
        self._last = (query, Described(columns, oids, text_columns))
        return self._last[1]

    def _render(self, statement: Statement, query: Query, cursor: Any) -> str:
        """The query's text with each value quoted by the driver."""
        statement.need_values(query.values, query.name)
        try:
            quoted = {name: cursor.mogrify("%s", (query.values[name],)).decode() for name in statement.parameters}
        except ValueError as error:  # a NUL character inside a text
            raise QueryFailed(f"A parameter of query {query.name!r} cannot be sent: {error}") from None
        # In parentheses, so that a negative number or a cast keeps its meaning beside any operator.
        return statement.render(lambda name: f"({quoted[name]})")

    @contextmanager
    def _statement(self, name: str, failed: Callable[[], BaseException | None] = lambda: None) -> Iterator[Any]:
        """A cursor in the read-only transaction. The driver's errors become `RunError`s that a person can act on."""
        import psycopg2

        began = clock.monotonic()
        with self._stopping.interruptible():
            try:
                self._begin()
                began = clock.monotonic()
                with self._stopping.limited(*self._limits(name)), self._connection.cursor() as cursor:
                    yield cursor
            except psycopg2.Error as error:
                problem = failed()
                gone = self._connection is None or bool(self._connection.closed)
                self._abandon()
                if problem is not None:
                    raise problem from None
                if self._stopping.asked:
                    raise Stopped() from None
                raise statement_error(
                    error,
                    name,
                    gone=gone,
                    seconds=clock.monotonic() - began,
                    limit=self._timeout,
                    secret=self._secret,
                    show_values=self._settings.show_values,
                ) from None
            except BaseException:
                self._abandon()
                raise

    def _limits(self, name: str) -> Iterator[Limit]:
        """What ends a statement when the server's own clock cannot."""
        if self._timeout is not None:
            yield after(self._timeout + STATEMENT_GRACE_SECONDS, lambda: statement_limit_error(name, self._timeout))
        line, seconds = self._line, self._settings.read_timeout
        if line is not None and seconds is not None:
            message = f"The database sent nothing for {seconds} s while query {name!r} ran (read_timeout)."
            yield Limit(
                lambda elapsed: elapsed >= seconds and line.silent_for(seconds), lambda: ConnectionDropped(message)
            )

    def _begin(self) -> None:
        """Bring the session to the state that every statement starts from."""
        if self._connection is None:
            self._connect()
        within = self._settings.connect_timeout
        with self._stopping.limited(after(within, self._unreachable)), self._connection.cursor() as cursor:
            if self._in_transaction:
                cursor.execute("ROLLBACK TO SAVEPOINT carillon")
                return
            self._set_up(cursor)
        self._in_transaction = True

    def _set_up(self, cursor: Any) -> None:
        import psycopg2

        settings = {**OUTPUT, "TimeZone": self._settings.timezone}
        if self._timeout is not None:
            settings["statement_timeout"] = str(max(1, round(self._timeout * 1000)))
        if self._settings.search_path:
            settings["search_path"] = self._settings.search_path
        try:
            _set(cursor, settings)
        except psycopg2.errors.InvalidParameterValue as error:
            raise session_error(error, self._settings) from None
        refuse_superuser(cursor, self._settings)
        if self._connection.server_version >= GONE_SINCE:
            try:
                _set(cursor, GONE)
            except psycopg2.errors.InvalidParameterValue:  # not on every server's operating system
                cursor.execute("ROLLBACK TO SAVEPOINT carillon")

    def _connect(self) -> None:
        from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ

        settings = self._settings
        try:
            connection = self._stopping.apart(
                lambda: connected(settings, self._secret, self._application_name),
                settings.connect_timeout + CONNECT_GRACE_SECONDS,
                late=lambda found: found.close(),
            )
        except TimeoutError:
            raise self._unreachable() from None
        self._line = Line(connection)
        self._connection = connection
        outbound.check(self._line.peer, host=settings.host, private=True)
        connection.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)

    def _unreachable(self) -> SourceUnreachable:
        return unreachable(self._settings, f"nothing within connect_timeout, {self._settings.connect_timeout} s")

    def _abandon(self) -> None:
        """End a transaction that failed, and its statement at the database if that still runs.

        The connection ends with it: a rollback would wait for a server that may not answer any more.
        """
        from psycopg2.extensions import TRANSACTION_STATUS_ACTIVE

        connection = self._connection
        if (
            connection is not None
            and not connection.closed
            and connection.info.transaction_status == TRANSACTION_STATUS_ACTIVE
        ):
            self._stopping.end_now()
        self.close()


def _set(cursor: Any, settings: dict[str, str]) -> None:
    """Set these for the transaction, and move the savepoint behind them."""
    calls = ", ".join(["pg_catalog.set_config(%s, %s, true)"] * len(settings))
    cursor.execute(f"SELECT {calls}; SAVEPOINT carillon", [word for setting in settings.items() for word in setting])


def _parse(query: Query) -> Statement:
    return parse_reading(query.sql, DIALECT, query.name)
