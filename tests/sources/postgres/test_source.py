"""The PostgreSQL source against a real server."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import (
    ConnectionDropped,
    QueryFailed,
    QueryInterrupted,
    RunError,
    SourceRefused,
    SourceUnreachable,
    StatementTimedOut,
    Stopped,
)
from chalicelib.sources.csv_options import BOM, FORMULA_STARTS, CsvOptions
from chalicelib.sources.protocol import Column, Query, Source
from chalicelib.sources.registry import open_source
from tests.support.postgres import PostgresServer, free_port
from tests.support.proxy import Proxy

PLAIN = CsvOptions(formula_guard=False)
# A series in the select list flows; one in FROM is stored whole before its first row.
ENDLESS = "SELECT generate_series(1, 100000000) AS n, 'a word' AS word"
NUMBERS = itertools.count(1)
MANY = "SELECT n, md5(n::text) AS hash, 'é' || n AS word FROM generate_series(1, 200000) AS n"


@pytest.fixture(scope="module", name="database")
def make_database(postgres: PostgresServer) -> Iterator[PostgresServer]:
    with postgres.fresh_database() as database:
        database.run(NASTY)
        yield database


@pytest.fixture
def source(database: PostgresServer) -> Iterator[Source]:
    with opened(database) as source:
        yield source


def opened(database: PostgresServer, **overrides: Any) -> Source:
    settings = {**database.settings, **overrides.pop("settings", {})}
    return open_source("postgres", settings, overrides.pop("secret", database.password), **overrides)


def export(source: Source, sql: str, options: CsvOptions = PLAIN, **values: Any) -> bytes:
    blocks: list[bytes] = []
    source.export_csv(Query("q", sql, values), options, blocks.append)
    return b"".join(blocks)


def cells(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


NASTY = r"""
CREATE TYPE mood AS ENUM ('=sad', 'fine');
CREATE DOMAIN code AS varchar(10);
CREATE TABLE nasty (
    id bigint, price numeric(30, 12), ratio double precision, small real, flag boolean, word text, fixed char(6),
    short varchar(40), day date, at timestamptz, wall timestamp, span interval, list text[], numbers int[], doc json,
    docb jsonb, raw bytea, key uuid, net inet, feeling mood, label code, period tstzrange, big numeric, markup text
);
INSERT INTO nasty VALUES
    (9223372036854775807, 0.100000000001, 0.1, 0.1, true, E'a "quoted", text\nwith a line', 'ab', 'x,y', '2013-01-31',
     '2013-01-31 16:00:00.123456+00', '2013-01-31 16:00', '1 day 02:03', ARRAY['a,b', 'c"d', NULL, ''], '{1,2}',
     '{"a": "b, \"c\""}', '[1, null]', '\x00ff', '11111111-1111-1111-1111-111111111111', '10.0.0.0/8', '=sad', '=1+1',
     '[2013-01-01 00:00+00,2013-02-01 00:00+00)', 123456789012345678901234567890.123456789, '<a>1</a>'),
    (-9223372036854775808, -0.000000000001, 1e308, 'NaN', false, '', '', '', '0001-01-01', 'infinity',
     '9999-12-31 23:59:59.999999', '-1 mons', '{}', '{}', '""', '{}', '', NULL, '::1', 'fine', '', 'empty', 'NaN',
     '-1'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL),
    (0, 0, -0.0, 16777216, true, '中文，測試 ñ 🎉', '中', E'tab\there', '2024-02-29', '2024-03-10 07:00+00',
     '2024-02-29 00:00', '00:00', ARRAY[E'new\nline', '\'], NULL, '1', '1', '\x5c', NULL, NULL, NULL, E'\\',
     NULL, 0.10, '=1'),
    (1, 1.5, 5e-324, 1.17549435e-38, false, E'\\.', E' a\r', E'back\\slash', '1900-01-01', '1900-01-01 00:00+08',
     'epoch', '1 year', ARRAY['NULL'], '{NULL}', 'null', 'null', NULL, NULL, NULL, NULL, ' lead', NULL, 1e20, NULL),
    (2, 2, 2, 2, true, '@cmd', '-5', '+1', '2013-01-01', '2013-01-01 00:00+00', '2013-01-01', '0', '{}', '{}', '-5',
     '-5', '', NULL, NULL, NULL, E'\tx', NULL, -5, NULL);
"""


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "copy_options"),
    [
        (PLAIN, "FORMAT csv, HEADER"),
        (CsvOptions(formula_guard=False, header=False), "FORMAT csv"),
        (CsvOptions(formula_guard=False, delimiter=";"), "FORMAT csv, HEADER, DELIMITER ';'"),
        (CsvOptions(formula_guard=False, delimiter="\t"), "FORMAT csv, HEADER, DELIMITER E'\\t'"),
        (CsvOptions(formula_guard=False, null_text="NULL"), "FORMAT csv, HEADER, NULL 'NULL'"),
        (CsvOptions(formula_guard=False, null_text="\\N"), "FORMAT csv, HEADER, NULL '\\N'"),
    ],
)
def test_a_file_is_byte_for_byte_the_databases_own(
    database: PostgresServer, source: Source, options: CsvOptions, copy_options: str
) -> None:
    assert export(source, "SELECT * FROM nasty", options) == database.copy("SELECT * FROM nasty", copy_options)


# What a role may be given that changes how values are written.
DEFAULTS = {
    "TimeZone": "Asia/Kolkata",
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-10",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
}


@contextlib.contextmanager
def a_role(database: PostgresServer, defaults: dict[str, str] | None = None) -> Iterator[str]:
    """A role of the test's own that may read everything, with the same password."""
    name = f"reader_{os.getpid()}_{next(NUMBERS)}"
    database.run(f'CREATE ROLE "{name}" LOGIN PASSWORD %s', (database.password,))
    database.run(f'GRANT pg_read_all_data TO "{name}"')
    for setting, value in (defaults or {}).items():
        database.run(f'ALTER ROLE "{name}" SET {setting} = %s', (value,))
    try:
        yield name
    finally:
        database.run(f'DROP OWNED BY "{name}"')
        database.run(f'DROP ROLE "{name}"')


def test_a_role_s_defaults_change_no_cell(database: PostgresServer) -> None:
    sql = "SELECT * FROM nasty"
    with a_role(database, DEFAULTS) as role, opened(database, settings={"user": role}) as source:
        found = export(source, sql)
    assert cells(found) == cells(database.copy(sql))
    assert b"2013-01-31 16:00:00.123456+00" in found


def test_a_source_may_have_another_zone(database: PostgresServer) -> None:
    sql = "SELECT '2013-07-31 16:00Z'::timestamptz AS at, '2013-07-31 22:00Z'::timestamptz::date AS day"
    with opened(database, settings={"timezone": "Europe/Paris"}) as source:
        assert export(source, sql) == b"at,day\n2013-07-31 18:00:00+02,2013-08-01\n"


def test_a_single_null_column_is_an_empty_line(database: PostgresServer, source: Source) -> None:
    sql = "SELECT word FROM nasty"
    assert export(source, sql) == database.copy(sql)


def test_crlf_changes_line_ends_and_no_value(database: PostgresServer, source: Source) -> None:
    sql = "SELECT * FROM nasty"
    found = export(source, sql, CsvOptions(formula_guard=False, line_end="crlf"))
    assert cells(found) == cells(database.copy(sql))
    assert found.endswith(b"\r\n")
    assert b'text\nwith a line"' in found


def test_crlf_holds_across_blocks(database: PostgresServer, source: Source) -> None:
    sql = "SELECT n, repeat(E'a\n\"', n % 50) AS word FROM generate_series(1, 40000) AS n"
    blocks: list[bytes] = []
    source.export_csv(Query("q", sql), CsvOptions(formula_guard=False, line_end="crlf"), blocks.append)
    assert len(blocks) > 2
    assert cells(b"".join(blocks)) == cells(database.copy(sql))


def test_the_byte_order_mark_comes_first(source: Source) -> None:
    assert export(source, "SELECT 1 AS a", CsvOptions(bom=True)) == BOM + b"a\n1\n"


def test_an_empty_result_is_a_header(source: Source) -> None:
    assert export(source, "SELECT 1 AS a, 'x' AS b WHERE false") == b"a,b\n"


def test_an_empty_result_without_header_is_no_block_at_all(source: Source) -> None:
    assert export(source, "SELECT 1 AS a WHERE false", CsvOptions(header=False)) == b""


def test_awkward_column_names_are_quoted(database: PostgresServer, source: Source) -> None:
    sql = 'SELECT 1 AS "a,b", 2 AS "c ""d""", \'x\' AS "{0}", \'=1\' AS "e\nf"'
    assert export(source, sql) == database.copy(sql)
    assert cells(export(source, sql, CsvOptions()))[1] == ["1", "2", "x", "'=1"]


def test_formulas_are_guarded_in_text_columns_only(database: PostgresServer, source: Source) -> None:
    sql = "SELECT * FROM nasty"
    plain, guarded = cells(export(source, sql)), cells(export(source, sql, CsvOptions()))
    text_columns = {"word", "fixed", "short", "feeling", "label", "markup"}
    for row, (before, after) in enumerate(zip(plain[1:], guarded[1:], strict=True)):
        for name, old, new in zip(plain[0], before, after, strict=True):
            dangerous = name in text_columns and old[:1] in ("=", "+", "-", "@", "\t", "\r") and old != ""
            assert new == ("'" + old if dangerous else old), (row, name)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_each_start_of_a_formula_is_guarded(source: Source, start: str) -> None:
    found = cells(
        export(source, "SELECT :text AS a, :text::char(4) AS b, :text::varchar AS c", CsvOptions(), text=start + "1")
    )
    assert found[1] == [f"'{start}1", f"'{start}1  ", f"'{start}1"]


def test_every_character_is_guarded_as_the_list_of_starts_says(source: Source) -> None:
    sql = "SELECT chr(n) AS a, chr(n) || '1' AS b, chr(n)::varchar AS c FROM generate_series(1, 1000) AS n"
    plain, guarded = cells(export(source, sql)), cells(export(source, sql, CsvOptions()))
    expected = [["'" + cell if cell[0] in FORMULA_STARTS else cell for cell in row] for row in plain]
    assert guarded == expected
    assert sum(row[0][:1] == "'" and len(row[0]) == 2 for row in guarded) == len(FORMULA_STARTS)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_single_byte_is_guarded_too(source: Source, start: str) -> None:
    sql = 'SELECT :text::"char" AS a, \'x\'::"char" AS b, \'\'::"char" AS c, NULL::"char" AS d'
    [_, found] = cells(export(source, sql, CsvOptions(), text=start))
    assert found == [f"'{start}", "x", "", ""]


def test_the_guard_keeps_nulls_empty_texts_and_padding(database: PostgresServer, source: Source) -> None:
    sql = "SELECT NULL::text AS a, '' AS b, 'x'::char(3) AS c, NULL::char(3) AS d, ''::char(2) AS e, 'zZ~é' AS f"
    assert export(source, sql, CsvOptions()) == database.copy(sql)


def test_a_guarded_column_is_computed_once_per_row(source: Source) -> None:
    # Half of the values are formulas. Were the column computed anew for each look at it, some would pass unguarded.
    sql = "SELECT CASE WHEN random() < 0.5 THEN '=1' ELSE 'x' END AS a FROM generate_series(1, 500)"
    assert {row[0] for row in cells(export(source, sql, CsvOptions()))[1:]} == {"'=1", "x"}


def test_a_column_name_that_is_a_formula_is_guarded(source: Source) -> None:
    assert export(source, 'SELECT 1 AS "=1+1"', CsvOptions()) == b"'=1+1\n1\n"


def test_order_survives_the_guard(source: Source) -> None:
    sql = "SELECT n::text AS a FROM generate_series(1, 5000) AS n ORDER BY n DESC"
    found = [row[0] for row in cells(export(source, sql, CsvOptions()))[1:]]
    assert found == [str(n) for n in range(5000, 0, -1)]


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_blocks_are_a_mebibyte_or_more_and_complete(database: PostgresServer, source: Source) -> None:
    blocks: list[bytes] = []
    rows = source.export_csv(Query("q", MANY), PLAIN, blocks.append)
    assert rows == 200_000
    assert len(blocks) > 3
    assert all(len(block) >= 1 << 20 for block in blocks[:-1])
    assert b"".join(blocks) == database.copy(MANY)


def test_rows_larger_than_a_block_arrive_whole(database: PostgresServer, source: Source) -> None:
    sql = "SELECT n, repeat(md5(n::text), 100000) AS long FROM generate_series(1, 4) AS n"
    assert export(source, sql) == database.copy(sql)


def test_what_the_sink_raises_ends_the_statement(database: PostgresServer) -> None:
    def refuse(block: bytes) -> None:
        raise OSError("disk full")

    with opened(database, application_name="refused") as source, pytest.raises(OSError, match="disk full"):
        source.export_csv(Query("q", MANY), PLAIN, refuse)
    assert gone(database, "refused")


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('it\'s \\ "quoted" %s :x', 'it\'s \\ "quoted" %s :x'),
        ("'); DROP TABLE nasty; --", "'); DROP TABLE nasty; --"),
        (-5, "-5"),
        (2**62, str(2**62)),
        (Decimal("0.10"), "0.10"),
        (True, "true"),
        (None, ""),
        (date(2013, 1, 31), "2013-01-31"),
    ],
)
def test_a_value_is_bound_not_pasted(source: Source, value: Any, shown: str) -> None:
    assert cells(export(source, "SELECT (:value)::text AS a", value=value))[1:] in ([[shown]], [[]])


def test_an_aware_datetime_is_an_instant(source: Source) -> None:
    at = datetime(2013, 1, 31, 16, tzinfo=UTC)
    sql = "SELECT :at AS at, '2013-02-01 00:00+08'::timestamptz >= :at AS reached, pg_typeof(:at) AS type"
    assert export(source, sql, at=at) == b"at,reached,type\n2013-01-31 16:00:00+00,t,timestamp with time zone\n"


def test_a_negative_value_after_a_minus_is_no_comment(source: Source) -> None:
    assert export(source, "SELECT 1-:n AS a", n=-1) == b"a\n2\n"


def test_an_unknown_parameter_is_refused_before_anything_is_sent(source: Source) -> None:
    with pytest.raises(QueryFailed, match=":missing"):
        export(source, "SELECT :missing AS a")


def test_a_nul_in_a_value_is_refused(source: Source) -> None:
    with pytest.raises(QueryFailed, match="cannot be sent"):
        export(source, "SELECT :a AS a", a="x\x00y")


# --- what is refused --------------------------------------------------------------------------------------------------


def test_two_columns_of_one_name_are_refused_before_anything_is_written(source: Source) -> None:
    blocks: list[bytes] = []
    with pytest.raises(QueryFailed, match=r"'q' has more than one column named 'a'"):
        source.export_csv(Query("q", "SELECT 1 AS a, 2 AS a, 3 AS b"), PLAIN, blocks.append)
    assert blocks == []


def test_a_query_without_columns_is_refused(source: Source) -> None:
    with pytest.raises(QueryFailed, match="gives no columns"):
        export(source, "SELECT FROM nasty")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO nasty (id) VALUES (7) RETURNING id",
        "WITH x AS (INSERT INTO nasty (id) VALUES (7) RETURNING id) SELECT * FROM x",
        "SELECT id INTO copied FROM nasty",
        "SELECT id FROM nasty FOR UPDATE",
        "SELECT setval('numbers', 7) AS a",
        "SELECT id FROM touch()",
    ],
)
def test_a_query_that_writes_is_refused_and_writes_nothing(database: PostgresServer, sql: str) -> None:
    database.run("CREATE SEQUENCE IF NOT EXISTS numbers")
    database.run(
        "CREATE OR REPLACE FUNCTION touch() RETURNS TABLE (id int) LANGUAGE sql AS 'DELETE FROM nasty RETURNING 1'"
    )
    before = database.run("SELECT count(*), (SELECT last_value FROM numbers) FROM nasty")
    with opened(database) as source, pytest.raises(QueryFailed):
        export(source, sql)
    assert database.run("SELECT count(*), (SELECT last_value FROM numbers) FROM nasty") == before
    assert database.run("SELECT to_regclass('copied')") == [(None,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1) TO '{path}'; --",
        "SELECT 1) TO '{path}' --",
        "SELECT E'\\\\') TO '{path}' --'",
        "SELECT $a$ $a$) TO '{path}' --",
        "SELECT E'x'\n'\\\\') TO '{path}' --'",
        "SELECT 1 /* /* */ */ ) TO '{path}' --",
    ],
)
def test_a_query_cannot_step_out_of_the_copy(source: Source, sql: str) -> None:
    path = Path(f"/tmp/carillon-escape-{os.getpid()}")
    with pytest.raises(QueryFailed):
        export(source, sql.format(path=path))
    assert not path.exists()


def test_the_session_cannot_be_made_writable_again(source: Source) -> None:
    with pytest.raises(QueryFailed, match=r"read-write mode|read-only"):
        export(source, "SELECT set_config('transaction_read_only', 'off', true) AS a")


def test_the_databases_own_words_reach_the_reader(source: Source) -> None:
    with pytest.raises(QueryFailed, match=r"'q': column \"nonsense\" does not exist"):
        export(source, "SELECT nonsense FROM nasty")


def test_an_error_in_a_late_row_fails_the_export(source: Source) -> None:
    blocks: list[bytes] = []
    sql = "SELECT n, 1 / (150000 - n) AS x, md5(n::text) AS h FROM generate_series(1, 200000) AS n"
    with pytest.raises(QueryFailed, match="division by zero"):
        source.export_csv(Query("q", sql), PLAIN, blocks.append)
    assert b"division" not in b"".join(blocks)


def test_the_source_can_be_used_again_after_a_refusal(source: Source) -> None:
    with pytest.raises(QueryFailed):
        export(source, "SELECT 1 / 0 AS a")
    assert export(source, "SELECT 1 AS a") == b"a\n1\n"


# --- connections ------------------------------------------------------------------------------------------------------


def test_a_test_tells_what_answered(database: PostgresServer, source: Source) -> None:
    info = source.test()
    assert (info.product, info.user, info.read_only) == ("PostgreSQL", database.user, True)
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


def test_nobody_listening_is_unreachable(database: PostgresServer) -> None:
    port = free_port()
    with opened(database, settings={"port": port}) as source, pytest.raises(SourceUnreachable) as failed:
        source.test()
    assert f"127.0.0.1:{port}" in failed.value.message
    assert not failed.value.permanent


def test_a_required_tls_that_the_server_lacks_is_told(database: PostgresServer) -> None:
    with opened(database, settings={"sslmode": "require"}) as source, pytest.raises(RunError, match="SSL"):
        source.test()


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


# --- clocks and cancels -----------------------------------------------------------------------------------------------


def test_the_database_ends_a_statement_that_takes_too_long(database: PostgresServer) -> None:
    began = time.monotonic()
    with (
        opened(database, statement_timeout_seconds=0.3, application_name="slow") as source,
        pytest.raises(StatementTimedOut, match=r"limit of 0\.3 s"),
    ):
        export(source, "SELECT pg_sleep(20) AS a")
    assert time.monotonic() - began < 5
    assert gone(database, "slow")


def test_a_cancel_ends_a_silent_statement_within_two_seconds(database: PostgresServer) -> None:
    with opened(database, application_name="silent") as source:
        failure = Failure(lambda: export(source, "SELECT pg_sleep(30) AS a"))
        running(database, "silent")
        asked = time.monotonic()
        source.cancel()
        assert gone(database, "silent")
        assert time.monotonic() - asked < 2
        assert isinstance(failure.wait(), Stopped)


def test_a_cancel_ends_a_flowing_export(database: PostgresServer) -> None:
    flowing = threading.Event()
    with opened(database, application_name="flowing") as source:
        failure = Failure(lambda: source.export_csv(Query("q", ENDLESS), PLAIN, lambda block: flowing.set()))
        assert flowing.wait(20)
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
        "source.preview(Query('q', 'SELECT pg_sleep(60) AS a'), 1)"
    )
    command = [sys.executable, "-c", code, json.dumps(database.settings), database.password]
    worker = subprocess.Popen(command, cwd=Path(__file__).parents[3])
    try:
        running(database, "died")
    finally:
        worker.kill()
        worker.wait()
    assert gone(database, "died", within=6)


def test_a_cancel_by_somebody_else_may_be_tried_again(database: PostgresServer) -> None:
    with opened(database, application_name="other") as source:
        failure = Failure(lambda: export(source, "SELECT pg_sleep(30) AS a"))
        running(database, "other")
        database.run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'other'")
        found = failure.wait()
    assert isinstance(found, QueryInterrupted)
    assert not found.permanent


# --- describing and previewing ----------------------------------------------------------------------------------------


def test_columns_carry_the_databases_types(source: Source) -> None:
    sql = "SELECT id, price, word, fixed, at, list, doc, label FROM nasty"
    assert source.describe(Query("q", sql)) == tuple(
        Column(name, type)
        for name, type in [
            ("id", "bigint"),
            ("price", "numeric"),
            ("word", "text"),
            ("fixed", "character"),
            ("at", "timestamp with time zone"),
            ("list", "text[]"),
            ("doc", "json"),
            ("label", "character varying"),
        ]
    )


def test_a_preview_shows_values_as_the_database_writes_them(source: Source) -> None:
    sql = (
        "SELECT id, price, ratio, flag, word, at, list, raw, big FROM nasty WHERE id > 1 OR id IS NULL ORDER BY 1 DESC;"
    )
    preview = source.preview(Query("q", sql), 3)
    assert preview.more is False
    assert preview.rows[0] == [None] * 9
    assert preview.rows[1] == [
        "9223372036854775807",
        "0.100000000001",
        "0.1",
        "t",
        'a "quoted", text\nwith a line',
        "2013-01-31 16:00:00.123456+00",
        '{"a,b","c\\"d",NULL,""}',
        "\\x00ff",
        "123456789012345678901234567890.123456789",
    ]


def test_a_preview_says_when_there_is_more(source: Source) -> None:
    preview = source.preview(Query("q", "SELECT n FROM generate_series(1, :top) AS n", {"top": 50}), 20)
    assert (len(preview.rows), preview.more) == (20, True)


# --- waiting ----------------------------------------------------------------------------------------------------------


class Failure:
    """What an action on a thread of its own raises."""

    def __init__(self, action: Any) -> None:
        self._action = action
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._action()
        except BaseException as error:
            self._error = error

    def wait(self) -> BaseException | None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self._error


def running(database: PostgresServer, name: str) -> None:
    deadline = time.monotonic() + 10
    while not any("pg_sleep" in statement for statement in database.statements_of(name)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(database: PostgresServer, name: str, within: float = 2) -> bool:
    deadline = time.monotonic() + within
    while database.statements_of(name):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
