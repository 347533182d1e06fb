"""What a query of an SQLite source may not reach although it only reads."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import QueryFailed
from chalicelib.sources.csv_options import CsvOptions
from chalicelib.sources.protocol import Column, Query, Source
from chalicelib.sources.registry import open_source

REFUSED = [
    "SELECT * FROM pragma_table_info('item')",
    "SELECT count(*) AS n FROM pragma_table_info('item')",
    "SELECT * FROM pragma_table_info('carillon_described')",
    "SELECT file FROM pragma_database_list",
    "SELECT * FROM PRAGMA_FUNCTION_LIST",
    "SELECT * FROM main.pragma_compile_options",
    "SELECT item.name FROM item JOIN pragma_table_list AS t ON t.name = item.name",
    "SELECT (SELECT file FROM pragma_database_list) AS a",
    "SELECT hex(fts3_tokenizer('simple')) AS a",
    "SELECT Fts3_Tokenizer('simple', x'00') AS a",
    "SELECT load_extension('x') AS a",
    "SELECT * FROM looks_in",  # a view of the file does it
]
ALLOWED = [
    "SELECT name FROM item",
    "SELECT name FROM sqlite_master",
    "SELECT value AS a FROM json_each('[1, 2]')",
    "SELECT x FROM found WHERE found MATCH 'hello'",
    "SELECT x FROM found3 WHERE found3 MATCH 'hello'",
    "SELECT id FROM area",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
    "SELECT name AS pragma_a, 'pragma_table_info' AS b FROM item",
]


@pytest.fixture
def source(tmp_path: Path) -> Any:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.executescript(
            """
            CREATE TABLE item (name TEXT, price DECIMAL(5, 2));
            INSERT INTO item VALUES ('kettle', 1);
            CREATE VIEW looks_in AS SELECT file FROM pragma_database_list;
            CREATE VIRTUAL TABLE found USING fts5(x);
            INSERT INTO found VALUES ('hello there');
            CREATE VIRTUAL TABLE found3 USING fts3(x);
            INSERT INTO found3 VALUES ('hello there');
            CREATE VIRTUAL TABLE area USING rtree(id, low, high);
            """
        )
    with open_source("sqlite", {"path": "shop.db"}, None, data_folder=tmp_path) as source:
        yield source


@pytest.mark.parametrize("sql", REFUSED)
def test_what_shows_the_process_is_refused(source: Source, sql: str) -> None:
    query = Query("q", sql)
    for use in (
        lambda: source.preview(query, 1),
        lambda: source.describe(query),
        lambda: source.export_csv(query, CsvOptions(), lambda block: None),
    ):
        with pytest.raises(QueryFailed, match="refused query"):
            use()


@pytest.mark.parametrize("sql", ALLOWED)
def test_what_reads_the_file_is_allowed(source: Source, sql: str) -> None:
    assert source.export_csv(Query("q", sql), CsvOptions(), lambda block: None) >= 0
    source.preview(Query("q", sql), 1)


def test_the_types_of_columns_are_still_found(source: Source) -> None:
    columns = source.describe(Query("q", "SELECT name, price FROM item"))
    assert columns == (Column("name", "TEXT"), Column("price", "DECIMAL(5, 2)"))
