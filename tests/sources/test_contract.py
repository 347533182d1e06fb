"""What every kind of source keeps, also when its driver or its network fails: how its work is stopped.

A new kind brings its row: a source at work on a statement that does not end, on the worst line that it can have.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import RunError, StatementTimedOut, Stopped
from chalicelib.sources.protocol import Query, Source
from chalicelib.sources.registry import SOURCES, open_source
from chalicelib.sources.stopping import PATIENCE_SECONDS
from tests.support.postgres import PostgresServer
from tests.support.postgres_source import PLAIN, Failure, opened, running
from tests.support.proxy import Proxy
from tests.support.waiting import slowness

GRACE_SECONDS = 1.0
# A source, its endless query, and what has its line stall once the query runs.
Case = tuple[Source, str, Callable[[], None]]


@contextmanager
def postgres_case(servers: Callable[[], PostgresServer], folder: Path, limit: float | None) -> Iterator[Case]:
    server = servers()
    name = f"contract {limit}"

    def stall() -> None:
        running(server, name)
        line.stall()

    with (
        Proxy(server.port) as line,
        opened(server, settings={"port": line.port}, statement_timeout_seconds=limit, application_name=name) as source,
    ):
        yield source, "SELECT pg_sleep(600) AS a", stall


@contextmanager
def sqlite_case(servers: Callable[[], PostgresServer], folder: Path, limit: float | None) -> Iterator[Case]:
    with sqlite3.connect(folder / "a.db") as connection:
        connection.execute("CREATE TABLE a (b)")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS a FROM n"
    with open_source("sqlite", {"path": "a.db"}, None, data_folder=folder, statement_timeout_seconds=limit) as source:
        yield source, endless, lambda: time.sleep(0.2)


CASES: dict[str, Callable[[Callable[[], PostgresServer], Path, float | None], AbstractContextManager[Case]]] = {
    "postgres": postgres_case,
    "sqlite": sqlite_case,
}


@pytest.fixture
def server_of(request: pytest.FixtureRequest, servers: None) -> Callable[[], PostgresServer]:
    """Starts the server only for the kind that needs it."""
    return lambda: request.getfixturevalue("postgres")


def test_every_kind_has_its_case() -> None:
    assert set(CASES) == set(SOURCES)


def work(source: Source, sql: str) -> Any:
    return source.export_csv(Query("q", sql), PLAIN, lambda block: None)


@pytest.mark.parametrize("kind", CASES)
def test_a_stop_returns_at_once_and_ends_the_work_in_time(
    kind: str, server_of: Callable[[], PostgresServer], tmp_path: Path
) -> None:
    with CASES[kind](server_of, tmp_path, None) as (source, sql, stall):
        failure = Failure(lambda: work(source, sql))
        stall()
        began = time.monotonic()
        source.cancel()
        source.cancel()  # a second one changes nothing
        assert time.monotonic() - began < 0.5 * slowness()
        error = failure.wait()
        assert time.monotonic() - began < (PATIENCE_SECONDS + GRACE_SECONDS) * slowness()
        assert isinstance(error, Stopped)
        assert isinstance(error.may_still_run, bool)
        with pytest.raises(Stopped):
            work(source, "SELECT 1 AS a")


@pytest.mark.parametrize("kind", CASES)
def test_the_statement_timeout_ends_the_work_in_time(
    kind: str, server_of: Callable[[], PostgresServer], tmp_path: Path
) -> None:
    limit = 2.0
    with CASES[kind](server_of, tmp_path, limit) as (source, sql, stall):
        began = time.monotonic()
        failure = Failure(lambda: work(source, sql))
        stall()
        error = failure.wait()
        assert time.monotonic() - began < (limit + PATIENCE_SECONDS + 2 * GRACE_SECONDS) * slowness()
        assert isinstance(error, StatementTimedOut)


@pytest.mark.parametrize("kind", CASES)
def test_work_that_ends_by_itself_leaves_nothing_behind(
    kind: str, server_of: Callable[[], PostgresServer], tmp_path: Path
) -> None:
    with CASES[kind](server_of, tmp_path, 60.0) as (source, _, _):
        with pytest.raises(RunError) as refused:
            work(source, "SELECT nothing FROM nowhere")
        assert not refused.value.may_still_run
        assert work(source, "SELECT 1 AS a") == 1
