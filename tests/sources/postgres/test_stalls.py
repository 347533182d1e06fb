"""A network that neither answers nor breaks: a stop and each clock end the work, wherever it stands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from chalicelib.errors import ConnectionDropped, FileNotWritten, RunError, SourceUnreachable, StatementTimedOut, Stopped
from chalicelib.sources.protocol import Query, Source
from tests.support.postgres import PostgresServer
from tests.support.postgres_source import ENDLESS, PLAIN, Failure, export, gone, opened, running
from tests.support.proxy import Proxy
from tests.support.waiting import PATIENCE_SECONDS, slowness, wait_for

# What a run's end promises, less the second that a worker takes to see the cancel.
STOP_SECONDS = 4.0
SLEEP = "SELECT pg_sleep(600) AS a"


@pytest.fixture
def line(database: PostgresServer) -> Iterator[Proxy]:
    with Proxy(database.port) as proxy:
        yield proxy


def stopped(source: Source, failure: Failure) -> RunError:
    """What the work raises after a stop, which returns at once and ends it in time."""
    began = time.monotonic()
    source.cancel()
    assert time.monotonic() - began < 1 * slowness()
    error = failure.wait()
    assert time.monotonic() - began < STOP_SECONDS * slowness()
    assert isinstance(error, RunError)
    return error


def flow(source: Source) -> tuple[Failure, threading.Event]:
    flowing = threading.Event()
    failure = Failure(lambda: source.export_csv(Query("q", ENDLESS), PLAIN, lambda block: flowing.set()))
    return failure, flowing


@pytest.mark.parametrize(
    "greeting",
    [
        b"",  # connected, and never an answer
        b"S",  # TLS is promised, and its handshake never goes on
    ],
)
def test_a_stop_ends_a_connection_that_is_never_made(database: PostgresServer, greeting: bytes) -> None:
    with Proxy(None, greeting=greeting) as proxy:
        settings = {"port": proxy.port, "connect_timeout": 60, "sslmode": "require" if greeting == b"S" else "disable"}
        with opened(database, settings=settings) as source:
            failure = Failure(source.test)
            wait_for(lambda: proxy.connections)
            error = stopped(source, failure)
    assert isinstance(error, Stopped)
    assert not error.may_still_run


@pytest.mark.parametrize(("greeting", "sslmode"), [(b"", "disable"), (b"", "require"), (b"S", "require")])
def test_a_connection_that_is_never_made_ends_by_its_own_clock(
    database: PostgresServer, greeting: bytes, sslmode: str
) -> None:
    settings = {"connect_timeout": 2, "sslmode": sslmode}
    with (
        Proxy(None, greeting=greeting) as proxy,
        opened(database, settings=settings | {"port": proxy.port}) as source,
        pytest.raises(SourceUnreachable),
    ):
        source.test()


def test_a_stop_ends_a_silent_query_on_a_stalled_line(database: PostgresServer, line: Proxy) -> None:
    with opened(database, settings={"port": line.port}, application_name="stalled") as source:
        failure = Failure(lambda: export(source, SLEEP))
        running(database, "stalled")
        line.stall()
        error = stopped(source, failure)
    assert isinstance(error, Stopped)
    assert error.may_still_run
    assert database.statements_of("stalled")


def test_a_stop_ends_a_copy_on_a_stalled_line(database: PostgresServer, line: Proxy) -> None:
    with opened(database, settings={"port": line.port}) as source:
        failure, flowing = flow(source)
        assert flowing.wait(PATIENCE_SECONDS)
        line.stall()
        time.sleep(0.5)
        error = stopped(source, failure)
    assert isinstance(error, Stopped)
    assert error.may_still_run


def test_a_stop_ends_a_copy_that_trickles(database: PostgresServer, line: Proxy) -> None:
    with opened(database, settings={"port": line.port}, application_name="trickle") as source:
        failure, flowing = flow(source)
        assert flowing.wait(PATIENCE_SECONDS)
        line.slow(20_000)
        error = stopped(source, failure)
    assert isinstance(error, Stopped)
    assert not error.may_still_run, "the cancel got through"
    line.cut()
    assert gone(database, "trickle")


def test_a_stop_ends_a_query_whose_cancel_gets_no_answer(database: PostgresServer, line: Proxy) -> None:
    with opened(database, settings={"port": line.port}, application_name="deaf") as source:
        failure = Failure(lambda: export(source, SLEEP))
        running(database, "deaf")
        before = line.connections
        line.stall_new()
        error = stopped(source, failure)
        assert line.connections > before, "it was asked for"
    assert isinstance(error, Stopped)
    assert error.may_still_run
    # The line itself is whole, so the server sees that its client is gone.
    assert gone(database, "deaf")


def test_other_threads_work_while_a_cancel_waits_for_its_answer(database: PostgresServer, line: Proxy) -> None:
    with opened(database, settings={"port": line.port}, application_name="busy") as source:
        failure = Failure(lambda: export(source, SLEEP))
        running(database, "busy")
        line.stall()
        before, began = line.connections, time.monotonic()
        source.cancel()
        wait_for(lambda: line.connections > before)
        assert time.monotonic() - began < 2 * slowness()
        assert isinstance(failure.wait(), Stopped)


STALLS: dict[str, Callable[[Proxy], None]] = {"stalled": Proxy.stall, "trickling": lambda line: line.slow(20_000)}


@pytest.mark.parametrize("stall", STALLS)
def test_the_statement_timeout_ends_a_copy_whose_line(database: PostgresServer, line: Proxy, stall: str) -> None:
    limit = 2.0
    with opened(database, settings={"port": line.port}, statement_timeout_seconds=limit) as source:
        began = time.monotonic()
        failure, flowing = flow(source)
        assert flowing.wait(PATIENCE_SECONDS)
        STALLS[stall](line)
        error = failure.wait()
    assert isinstance(error, StatementTimedOut)
    assert time.monotonic() - began < (limit + 5) * slowness()
    assert error.may_still_run is (stall == "stalled")


def test_a_server_that_sends_nothing_for_its_read_timeout_is_given_up(database: PostgresServer, line: Proxy) -> None:
    with opened(database, settings={"port": line.port, "read_timeout": 1}) as source:
        failure, flowing = flow(source)
        assert flowing.wait(PATIENCE_SECONDS)
        line.stall()
        error = failure.wait()
    assert isinstance(error, ConnectionDropped)
    assert "read_timeout" in error.message
    assert not error.permanent


def test_a_sink_that_takes_its_time_is_no_silent_server(database: PostgresServer) -> None:
    rows = "SELECT n, repeat('x', 1000) AS x FROM generate_series(1, 20000) AS n"
    with opened(database, settings={"read_timeout": 1}) as source:
        slow = iter([1.5, 1.5])
        assert source.export_csv(Query("q", rows), PLAIN, lambda block: time.sleep(next(slow, 0))) == 20000


def test_a_sink_that_fails_on_a_stalled_line_ends_the_export(database: PostgresServer, line: Proxy) -> None:
    def sink(block: bytes) -> None:
        line.stall()
        raise FileNotWritten

    with opened(database, settings={"port": line.port}) as source:
        began = time.monotonic()
        with pytest.raises(FileNotWritten) as failed:
            source.export_csv(Query("q", ENDLESS), PLAIN, sink)
    assert time.monotonic() - began < (STOP_SECONDS + 1) * slowness()
    assert failed.value.may_still_run


def test_a_refused_query_on_a_line_that_stalls_after_it_ends(database: PostgresServer, line: Proxy) -> None:
    """No round trip stands between the error and the end."""
    with opened(database, settings={"port": line.port}) as source:
        source.test()
        real = source._abandon  # type: ignore[attr-defined]

        def abandon() -> None:
            line.stall()
            real()

        source._abandon = abandon  # type: ignore[attr-defined]
        failure = Failure(lambda: export(source, "SELECT 1/0 AS a"))
        began = time.monotonic()
        error = failure.wait()
    assert time.monotonic() - began < STOP_SECONDS * slowness()
    assert isinstance(error, RunError)
    assert not error.may_still_run


def test_a_stop_ends_the_settings_of_a_session_that_stalls(database: PostgresServer, line: Proxy) -> None:
    with opened(database, settings={"port": line.port, "connect_timeout": 60}) as source:
        source.test()
        line.stall()
        failure = Failure(source.test)
        time.sleep(0.5)
        error = stopped(source, failure)
    assert isinstance(error, Stopped)
