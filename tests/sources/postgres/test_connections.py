"""The connection and its session: who is refused and why, what breaks it, and what a query leaves behind in it."""

from __future__ import annotations

import threading

import pytest

from chalicelib.errors import ConnectionDropped, SourceRefused, SourceUnreachable, StatementTimedOut
from chalicelib.sources.protocol import Query, Source
from tests.support.postgres import PostgresServer, free_port
from tests.support.postgres_source import ENDLESS, PLAIN, a_role, cells, export, opened
from tests.support.proxy import Proxy


def test_a_test_tells_what_answered(database: PostgresServer, source: Source) -> None:
    info = source.test()
    assert (info.product, info.user, info.read_only) == ("PostgreSQL", database.user, False), "a superuser may write"
    assert info.version.split(".")[0].isdigit()


def test_a_wrong_password_is_refused_and_not_repeated(database: PostgresServer) -> None:
    with opened(database, secret="hunter2secret") as source, pytest.raises(SourceRefused) as refused:
        source.test()
    assert "password authentication failed" in refused.value.message
    assert "hunter2secret" not in refused.value.message
    assert refused.value.permanent
    assert refused.value.field == "password"


def test_no_password_is_refused(database: PostgresServer) -> None:
    with opened(database, secret=None) as source, pytest.raises(SourceRefused, match="wants a password") as refused:
        source.test()
    assert refused.value.field == "password"


def test_a_database_that_does_not_exist_is_refused(database: PostgresServer) -> None:
    settings = {"database": "nowhere"}
    with opened(database, settings=settings) as source, pytest.raises(SourceRefused, match="nowhere") as refused:
        source.test()
    assert refused.value.field == "settings.database"


def test_a_database_that_is_not_for_the_user_is_refused(database: PostgresServer) -> None:
    database.run(f'REVOKE CONNECT ON DATABASE "{database.database}" FROM PUBLIC')
    with a_role(database) as role:
        with opened(database, settings={"user": role}) as source, pytest.raises(SourceRefused) as refused:
            source.test()
        assert refused.value.field == "settings.database"
    database.run(f'GRANT CONNECT ON DATABASE "{database.database}" TO PUBLIC')


def test_a_zone_that_the_server_does_not_know_is_refused(database: PostgresServer) -> None:
    with opened(database) as source:
        source._settings = source._settings.model_copy(update={"timezone": "Mars/Olympus"})  # type: ignore[attr-defined]
        with pytest.raises(SourceRefused, match="Mars/Olympus") as refused:
            source.test()
    assert refused.value.field == "settings.timezone"


def test_an_address_that_nothing_listens_at_is_unreachable(database: PostgresServer) -> None:
    port = free_port()
    with opened(database, settings={"port": port}) as source, pytest.raises(SourceUnreachable) as failed:
        source.test()
    assert f"127.0.0.1:{port}" in failed.value.message
    assert not failed.value.permanent


def test_a_session_ended_by_the_server_mid_stream_is_a_dropped_connection(database: PostgresServer) -> None:
    killed = threading.Event()

    def kill(block: bytes) -> None:
        if not killed.is_set():
            killed.set()
            database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'doomed'")

    with opened(database, application_name="doomed") as source, pytest.raises(ConnectionDropped) as failed:
        source.export_csv(Query("q", ENDLESS), PLAIN, kill)
    assert not failed.value.permanent


def test_a_cut_line_mid_stream_is_a_dropped_connection(database: PostgresServer) -> None:
    with (
        Proxy(database.port) as proxy,
        opened(database, settings={"port": proxy.port}) as source,
        pytest.raises(ConnectionDropped),
    ):
        source.export_csv(Query("q", ENDLESS), PLAIN, lambda block: proxy.cut())


def test_the_search_path_is_honoured(database: PostgresServer) -> None:
    database.run("CREATE SCHEMA IF NOT EXISTS shop")
    database.run("CREATE TABLE IF NOT EXISTS shop.item AS SELECT 1 AS a")
    with opened(database, settings={"search_path": "shop, public"}) as source:
        assert export(source, "SELECT a FROM item") == b"a\n1\n"


def test_several_queries_see_one_snapshot(database: PostgresServer) -> None:
    database.run("CREATE TABLE IF NOT EXISTS growing AS SELECT 1 AS a")
    with opened(database) as source:
        before = export(source, "SELECT count(*) AS n FROM growing")
        database.run("INSERT INTO growing VALUES (2)")
        assert export(source, "SELECT count(*) AS n FROM growing") == before


LEAKS = [
    ("TimeZone", "America/New_York"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "iso_8601"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-10"),
    ("search_path", "elsewhere"),
    ("client_encoding", "LATIN1"),
    ("statement_timeout", "0"),
    ("standard_conforming_strings", "off"),
    ("role", "pg_monitor"),
    ("work_mem", "1MB"),
]


@pytest.mark.parametrize("local", ["true", "false"])
@pytest.mark.parametrize(("name", "value"), LEAKS)
def test_what_a_query_sets_ends_with_it(database: PostgresServer, name: str, value: str, local: str) -> None:
    now = f"SELECT current_setting('{name}') AS a, '{{}}' AS b"
    with opened(database, statement_timeout_seconds=60) as source:
        before = export(source, now.format("é"))
        set_to = cells(export(source, f"SELECT set_config('{name}', '{value}', {local}) AS a"))[1]
        assert set_to != cells(before)[1][:1]
        assert export(source, now.format("é")) == before
        assert source.preview(Query("q", now.format("é")), 1).rows == cells(before)[1:]


def test_a_query_cannot_lift_the_limit_of_the_next(database: PostgresServer) -> None:
    with opened(database, statement_timeout_seconds=0.3) as source:
        export(source, "SELECT set_config('statement_timeout', '0', false) AS a")
        with pytest.raises(StatementTimedOut):
            export(source, "SELECT pg_sleep(20) AS a")
