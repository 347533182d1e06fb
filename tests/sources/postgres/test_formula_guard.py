"""Text cells that a spreadsheet would take for a formula are guarded, and nothing else changes."""

from __future__ import annotations

import pytest

from chalicelib.sources.csv_options import FORMULA_STARTS, CsvOptions
from chalicelib.sources.protocol import Source
from tests.support.postgres import PostgresServer
from tests.support.postgres_source import cells, export, opened

STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"]


def test_formulas_are_guarded_in_text_columns_only(database: PostgresServer, source: Source) -> None:
    sql = "SELECT * FROM nasty"
    plain, guarded = cells(export(source, sql)), cells(export(source, sql, CsvOptions()))
    text_columns = {"word", "fixed", "short", "feeling", "label", "markup"}
    for row, (before, after) in enumerate(zip(plain[1:], guarded[1:], strict=True)):
        for name, old, new in zip(plain[0], before, after, strict=True):
            dangerous = name in text_columns and old[:1] in STARTS and old != ""
            assert new == ("'" + old if dangerous else old), (row, name)


@pytest.mark.parametrize("start", STARTS)
def test_each_start_of_a_formula_is_guarded(source: Source, start: str) -> None:
    found = cells(
        export(source, "SELECT :text AS a, :text::char(4) AS b, :text::varchar AS c", CsvOptions(), text=start + "1")
    )
    assert found[1] == [f"'{start}1", f"'{start}1  ", f"'{start}1"]


def test_every_character_is_guarded_as_the_list_of_starts_says(source: Source) -> None:
    sql = "SELECT chr(n) AS a, chr(n) || '1' AS b, chr(n)::varchar AS c FROM generate_series(1, 65533) AS n "
    sql += "WHERE n NOT BETWEEN 55296 AND 57343"
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
    # Half of the values are formulas. If the column were computed each time it is read, some would pass unguarded.
    sql = "SELECT CASE WHEN random() < 0.5 THEN '=1' ELSE 'x' END AS a FROM generate_series(1, 500)"
    assert {row[0] for row in cells(export(source, sql, CsvOptions()))[1:]} == {"'=1", "x"}


def test_a_column_name_that_is_a_formula_is_guarded(source: Source) -> None:
    assert export(source, 'SELECT 1 AS "=1+1"', CsvOptions()) == b"'=1+1\n1\n"


def test_order_survives_the_guard(source: Source) -> None:
    sql = "SELECT n::text AS a FROM generate_series(1, 5000) AS n ORDER BY n DESC"
    found = [row[0] for row in cells(export(source, sql, CsvOptions()))[1:]]
    assert found == [str(n) for n in range(5000, 0, -1)]


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "EUC_JP", "EUC_CN", "LATIN1"])
def test_the_guard_knows_full_width_signs_in_the_encoding_of_the_database(
    database: PostgresServer, encoding: str
) -> None:
    """Of these, LATIN1 has none, and says so when a query writes one."""
    name = f"guard_{encoding.lower()}"
    database.run(f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with opened(database, settings={"database": name}) as source:
        signs = "" if encoding == "LATIN1" else "＝＋＠"
        for text in ["=1", "x", "Zz", *(sign + "1" for sign in signs), *("字" if signs else "é")]:
            found = cells(export(source, "SELECT :text::text AS a", CsvOptions(), text=text))
            assert found[1] == ["'" + text if text[0] in STARTS else text], text
