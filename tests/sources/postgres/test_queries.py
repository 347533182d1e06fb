"""What a query may do and what it may not, its parameters, and the blocks that it gives."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import QueryFailed
from chalicelib.sources.protocol import Query, Source
from tests.support.postgres import PostgresServer
from tests.support.postgres_source import MANY, PLAIN, cells, export, gone, opened


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
