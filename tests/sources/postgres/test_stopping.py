"""A statement ends at the database: by its clock, by a cancel, or with its worker."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chalicelib.errors import QueryInterrupted, StatementTimedOut, Stopped
from chalicelib.sources.protocol import Query, Source
from tests.support.postgres import PostgresServer
from tests.support.postgres_source import ENDLESS, PLAIN, Failure, export, gone, opened, running
from tests.support.waiting import PATIENCE_SECONDS, slowness


def test_the_database_ends_a_statement_that_takes_too_long(database: PostgresServer) -> None:
    began = time.monotonic()
    with (
        opened(database, statement_timeout_seconds=0.3, application_name="slow") as source,
        pytest.raises(StatementTimedOut, match=r"limit of 0\.3 s"),
    ):
        export(source, "SELECT pg_sleep(600) AS a")
    assert time.monotonic() - began < 5 * slowness()
    assert gone(database, "slow")


def test_a_cancel_ends_a_silent_statement_within_two_seconds(database: PostgresServer) -> None:
    with opened(database, application_name="silent") as source:
        failure = Failure(lambda: export(source, "SELECT pg_sleep(600) AS a"))
        running(database, "silent")
        asked = time.monotonic()
        source.cancel()
        assert gone(database, "silent")
        assert time.monotonic() - asked < 2 * slowness()
        assert isinstance(failure.wait(), Stopped)


def test_a_cancel_ends_a_flowing_export(database: PostgresServer) -> None:
    flowing = threading.Event()
    with opened(database, application_name="flowing") as source:
        failure = Failure(lambda: source.export_csv(Query("q", ENDLESS), PLAIN, lambda block: flowing.set()))
        assert flowing.wait(PATIENCE_SECONDS)
        source.cancel()
        assert isinstance(failure.wait(), Stopped)
        assert gone(database, "flowing")


def test_a_cancel_before_the_start_stops_at_once(database: PostgresServer) -> None:
    with opened(database) as source:
        source.cancel()
        with pytest.raises(Stopped):
            export(source, "SELECT 1 AS a")


def test_a_worker_that_dies_leaves_no_statement_behind(database: PostgresServer) -> None:
    code = (
        "import sys, json; from chalicelib.sources.protocol import Query; "
        "from chalicelib.sources.registry import open_source; "
        "source = open_source('postgres', json.loads(sys.argv[1]), sys.argv[2], application_name='died'); "
        "source.preview(Query('q', 'SELECT pg_sleep(600) AS a'), 1)"
    )
    command = [sys.executable, "-c", code, json.dumps(database.settings), database.password]
    worker = subprocess.Popen(command, cwd=Path(__file__).parents[3])
    try:
        running(database, "died")
    finally:
        worker.kill()
        worker.wait()
    assert gone(database, "died")


def test_the_database_looks_every_two_seconds_whether_the_worker_lives(source: Source) -> None:
    asked = "SELECT current_setting('client_connection_check_interval') AS a"
    assert source.preview(Query("q", asked), 1).rows == [["2s"]]


def test_a_run_that_another_client_cancelled_may_be_tried_again(database: PostgresServer) -> None:
    with opened(database, application_name="other") as source:
        failure = Failure(lambda: export(source, "SELECT pg_sleep(600) AS a"))
        running(database, "other")
        database.run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'other'")
        found = failure.wait()
    assert isinstance(found, QueryInterrupted)
    assert not found.permanent
