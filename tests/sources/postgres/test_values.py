"""The export writes every value as the database does, with any role, zone and options."""

from __future__ import annotations

import pytest

from chalicelib.sources.csv_options import BOM, CsvOptions
from chalicelib.sources.protocol import Column, Query, Source
from tests.support.postgres import PostgresServer
from tests.support.postgres_source import PLAIN, a_role, cells, export, opened


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


# Defaults of a role that change how values are written.
DEFAULTS = {
    "TimeZone": "Asia/Kolkata",
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-10",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
}


def test_the_defaults_of_a_role_change_no_cell(database: PostgresServer) -> None:
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
