"""The SQLite source on files of the test's own."""

from __future__ import annotations

import csv
import io
import sqlite3
import subprocess
import threading
import time
import tracemalloc
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import QueryFailed, RunError, SourceUnreachable, StatementTimedOut, Stopped
from chalicelib.sources.csv_options import BOM, FORMULA_STARTS, CsvOptions
from chalicelib.sources.protocol import Column, Query, Source
from chalicelib.sources.registry import open_source

WIDE = range(0xFF00, 0xFF60)
PLAIN = CsvOptions(formula_guard=False)
FOR_EVER = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT {} FROM c"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.executescript(
            """
            CREATE TABLE nasty (id INTEGER, price REAL, word TEXT, raw BLOB, anything);
            CREATE TABLE numbers (n INTEGER, word TEXT);
            """
        )
        connection.executemany(
            "INSERT INTO nasty VALUES (?, ?, ?, ?, ?)",
            [
                (2**63 - 1, 0.1, 'a "quoted", text\nwith a line', b"\x00\xff", "=1+1"),
                (-(2**63), 1e300, "", b"", -5),
                (None, None, None, None, None),
                (0, -0.0, "中文，測試 🎉", b"=x", "+1"),
                (1, 5e-324, "\r", b"\n", ""),
                (2, 1 / 3, "tab\there;|", b",", b"blob"),
                (3, float("inf"), "\r\n", None, 2.5),
                (4, 4, "@cmd", None, "-1"),
            ],
        )
        connection.commit()
    return tmp_path


@pytest.fixture
def source(folder: Path) -> Any:
    with opened(folder) as source:
        yield source


def opened(folder: Path, **overrides: Any) -> Source:
    settings = {"path": "shop.db", **overrides.pop("settings", {})}
    return open_source("sqlite", settings, None, data_folder=folder, **overrides)


def export(source: Source, sql: str, options: CsvOptions = PLAIN, **values: Any) -> bytes:
    blocks: list[bytes] = []
    source.export_csv(Query("q", sql, values), options, blocks.append)
    return b"".join(blocks)


def cells(content: bytes, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter))


def test_values_are_exact(source: Source) -> None:
    assert (
        export(source, "SELECT * FROM nasty")
        == (
            "id,price,word,raw,anything\n"
            '9223372036854775807,0.1,"a ""quoted"", text\nwith a line",\\x00ff,=1+1\n'
            '-9223372036854775808,1e+300,"",\\x,-5\n'
            ",,,,\n"
            "0,0.0,中文，測試 🎉,\\x3d78,+1\n"
            '1,5e-324,"\r",\\x0a,""\n'
            "2,0.3333333333333333,tab\there;|,\\x2c,\\x626c6f62\n"
            '3,inf,"\r\n",,2.5\n'
            "4,4.0,@cmd,,-1\n"
        ).encode()
    )


def test_formulas_are_guarded_in_texts_only(source: Source) -> None:
    assert cells(export(source, "SELECT anything, word FROM nasty", CsvOptions()))[1:] == [
        ["'=1+1", 'a "quoted", text\nwith a line'],
        ["-5", ""],
        ["", ""],
        ["'+1", "中文，測試 🎉"],
        ["", "'\r"],
        ["\\x626c6f62", "tab\there;|"],
        ["2.5", "'\r\n"],
        ["'-1", "'@cmd"],
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_each_start_of_a_formula_is_guarded(source: Source, start: str) -> None:
    assert cells(export(source, "SELECT :text AS a", CsvOptions(), text=start + "1"))[1:] == [[f"'{start}1"]]


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_formulas_are_guarded_in_a_file_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute("CREATE TABLE t (word TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [(chr(code) + "1",) for code in [*range(1, 128), *WIDE]])
        connection.commit()
    with opened(tmp_path) as source:
        found = [row[0] for row in cells(export(source, "SELECT word FROM t", CsvOptions()))[1:]]
    assert {text[1] for text in found if text[0] == "'" and len(text) == 3} == set(FORMULA_STARTS)


@pytest.mark.parametrize(
    "options",
    [
        CsvOptions(formula_guard=False, line_end="crlf"),
        CsvOptions(formula_guard=False, delimiter=";"),
        CsvOptions(formula_guard=False, delimiter="\t", line_end="crlf"),
        CsvOptions(formula_guard=False, delimiter="|"),
    ],
)
def test_delimiters_and_line_ends_change_no_value(source: Source, options: CsvOptions) -> None:
    sql = "SELECT * FROM nasty"
    found = export(source, sql, options)
    assert cells(found, options.delimiter) == cells(export(source, sql))
    assert found.endswith(options.line_end.bytes)


def test_null_text_stands_apart_from_a_text_that_reads_the_same(source: Source) -> None:
    sql = "SELECT 1 AS a, NULL AS b, 'NULL' AS c, '' AS d"
    assert export(source, sql, CsvOptions(null_text="NULL")) == b'a,b,c,d\n1,NULL,"NULL",\n'


@pytest.mark.parametrize(("null_text", "wanted"), [("", b'a\n\n""\nx\n'), ("NULL", b'a\nNULL\n""\nx\n')])
def test_a_single_column_keeps_null_and_empty_apart(source: Source, null_text: str, wanted: bytes) -> None:
    sql = "SELECT NULL AS a UNION ALL SELECT '' UNION ALL SELECT 'x'"
    assert export(source, sql, CsvOptions(null_text=null_text)) == wanted


def test_the_byte_order_mark_comes_first(source: Source) -> None:
    assert export(source, "SELECT 1 AS a", CsvOptions(bom=True)) == BOM + b"a\n1\n"


def test_an_empty_result_is_a_header(source: Source) -> None:
    assert export(source, "SELECT * FROM numbers") == b"n,word\n"


def test_the_shell_of_sqlite_gives_the_same_values(folder: Path, source: Source) -> None:
    """Where the shell's CSV can tell values apart at all."""
    sql = "SELECT id, word FROM nasty WHERE id IS NOT NULL AND word <> '' AND id < 100 ORDER BY id"
    command = ["sqlite3", "-csv", "-header", str(folder / "shop.db"), sql]
    try:
        shell = subprocess.run(command, check=True, capture_output=True).stdout
    except FileNotFoundError:
        shell = b""  # the shell is a package of its own; the other tests say the same in words
    assert not shell or cells(shell) == cells(export(source, sql))


def test_a_random_column_is_computed_once_per_row(source: Source) -> None:
    sql = f"SELECT CASE WHEN random() % 2 THEN '=1' ELSE 'x' END AS a FROM ({FOR_EVER.format('n')} LIMIT 500)"
    assert {row[0] for row in cells(export(source, sql, CsvOptions()))[1:]} == {"'=1", "x"}


def test_a_view_with_a_random_column_is_computed_once_per_row(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.execute(
            "INSERT INTO numbers SELECT value, 'x' FROM (WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL "
            "SELECT value + 1 FROM c LIMIT 300) SELECT value FROM c)"
        )
        connection.execute("CREATE VIEW dice AS SELECT CASE WHEN random() % 2 THEN '=1' ELSE 'x' END AS a FROM numbers")
        connection.commit()
    with opened(folder) as source:
        assert {row[0] for row in cells(export(source, "SELECT a FROM dice", CsvOptions()))[1:]} == {"'=1", "x"}


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_blocks_are_a_mebibyte_or_more_and_memory_is_bounded(source: Source) -> None:
    sizes: list[int] = []
    sql = f"SELECT n, printf('%.300c', 'x') AS word FROM ({FOR_EVER.format('n')} LIMIT 100000)"
    tracemalloc.start()
    try:
        rows = source.export_csv(Query("q", sql), CsvOptions(), lambda block: sizes.append(len(block)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 100_000
    assert all(size >= 1 << 20 for size in sizes[:-1])
    assert sum(sizes) > 30_000_000
    assert peak < 20_000_000


# --- parameters -------------------------------------------------------------------------------------------------------

AT = datetime(2013, 2, 1, 0, 0, tzinfo=timezone(timedelta(hours=8)))


@pytest.mark.parametrize(
    ("format", "bound"), [("text", "2013-01-31 16:00:00"), ("iso", "2013-01-31T16:00:00Z"), ("epoch", "1359648000")]
)
def test_an_instant_is_bound_the_way_the_file_stores_it(folder: Path, format: str, bound: str) -> None:
    with opened(folder, settings={"datetime_format": format}) as source:
        assert export(source, "SELECT :at AS at", at=AT) == f"at\n{bound}\n".encode()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("it's :x ?", "it's :x ?"),
        (-5, "-5"),
        (Decimal("0.1"), "0.1"),
        (True, "1"),
        (date(2013, 1, 31), "2013-01-31"),
        (datetime(2013, 1, 31, tzinfo=UTC), "2013-01-31 00:00:00"),
    ],
)
def test_a_value_is_bound_not_pasted(source: Source, value: Any, shown: str) -> None:
    assert cells(export(source, "SELECT :value AS a", value=value))[1:] == [[shown]]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1 AS a, 2 AS a", "more than one column named 'a'"),
        ("SELECT 1 AS a, 2 AS a, 3 AS a", "more than one column named 'a'"),
        ("INSERT INTO numbers VALUES (1, 'x')", r"writes \(INSERT\)"),
        ("WITH x AS (SELECT 1) INSERT INTO numbers SELECT 1, 'x'", r"writes \(INSERT\)"),
        ("WITH x AS (SELECT 1) REPLACE INTO numbers SELECT 1, 'x'", r"writes \(REPLACE\)"),
        ("PRAGMA user_version = 7", "gives no rows"),
        ("ATTACH '/tmp/x.db' AS x", "gives no rows"),
        ("CREATE TABLE t (a)", "gives no rows"),
        ("SELECT nonsense FROM numbers", "'q': no such column: nonsense"),
        ("SELECT 1) ; DROP TABLE numbers; --", "did not open"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("SELECT ? AS a", "uses \\?"),
        ("SELECT ?1 AS a", "uses \\?1"),
        ("SELECT :unknown AS a", ":unknown"),
    ],
)
def test_a_query_that_cannot_be_exported_is_refused(source: Source, sql: str, words: str) -> None:
    with pytest.raises(QueryFailed, match=words):
        export(source, sql)


def test_a_column_may_have_the_name_that_sqlite_gives_a_second_one(source: Source) -> None:
    assert export(source, 'SELECT 1 AS a, 2 AS "a:1"') == b"a,a:1\n1,2\n"


def test_text_that_is_not_utf8_is_refused(folder: Path, source: Source) -> None:
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.execute("INSERT INTO numbers VALUES (1, CAST(x'ff' AS TEXT))")
        connection.commit()
    with pytest.raises(QueryFailed, match="UTF-8"):
        export(source, "SELECT word FROM numbers")


def test_a_missing_file_is_unreachable_and_not_created(folder: Path) -> None:
    with (
        opened(folder, settings={"path": "nothing.db"}) as source,
        pytest.raises(SourceUnreachable, match=r"nothing\.db"),
    ):
        source.test()
    assert not (folder / "nothing.db").exists()


def test_a_file_that_is_no_database_is_unreachable(folder: Path) -> None:
    (folder / "text.db").write_text("not a database, but long enough to be read as one" * 100)
    with opened(folder, settings={"path": "text.db"}) as source, pytest.raises(SourceUnreachable):
        source.test()


def test_a_name_with_a_question_mark_opens_that_file(folder: Path) -> None:
    (folder / "shop.db").rename(folder / "a?mode=rw#%41.db")
    with opened(folder, settings={"path": "a?mode=rw#%41.db"}) as source:
        assert source.test().product == "SQLite"
        assert source.test().read_only


# --- clocks and cancels -----------------------------------------------------------------------------------------------


def test_a_statement_that_takes_too_long_is_ended(folder: Path) -> None:
    with opened(folder, statement_timeout_seconds=0.2) as source, pytest.raises(StatementTimedOut, match=r"0\.2 s"):
        export(source, FOR_EVER.format("count(*) AS n"))


def test_the_clock_runs_across_blocks(folder: Path) -> None:
    with opened(folder, statement_timeout_seconds=0.5) as source, pytest.raises(StatementTimedOut):
        source.export_csv(Query("q", FOR_EVER.format("n")), PLAIN, lambda block: None)


def test_a_cancel_ends_a_silent_statement(folder: Path) -> None:
    with opened(folder) as source:
        timer = threading.Timer(0.3, source.cancel)
        timer.start()
        # Of this thread, which runs the statement: how busy the machine is does not count.
        began = time.thread_time()
        with pytest.raises(Stopped):
            export(source, FOR_EVER.format("count(*) AS n"))
        timer.join()
    assert time.thread_time() - began < 3


def test_a_cancel_ends_a_flowing_export(folder: Path) -> None:
    with opened(folder) as source, pytest.raises(RunError) as failed:
        source.export_csv(Query("q", FOR_EVER.format("n")), PLAIN, lambda block: source.cancel())
    assert isinstance(failed.value, Stopped)


# --- describing and previewing ----------------------------------------------------------------------------------------


def test_columns_carry_their_declared_types(source: Source) -> None:
    found = source.describe(Query("q", "SELECT *, id + 1 AS next FROM nasty WHERE id > :n", {"n": 1}))
    assert found == tuple(
        Column(name, type)
        for name, type in [
            ("id", "INTEGER"), ("price", "REAL"), ("word", "TEXT"), ("raw", "BLOB"), ("anything", ""), ("next", "")
        ]
    )  # fmt: skip


def test_a_preview_shows_the_first_rows_as_text(source: Source) -> None:
    preview = source.preview(Query("q", "SELECT * FROM nasty;"), 3)
    assert preview.more
    assert preview.rows[0] == ["9223372036854775807", "0.1", 'a "quoted", text\nwith a line', "\\x00ff", "=1+1"]
    assert preview.rows[2] == [None] * 5
