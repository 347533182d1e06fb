"""A query of an SQLite source works inside the process that runs it: what it may take of memory and of time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import Invalid, QueryFailed
from chalicelib.sources.csv_options import CsvOptions
from chalicelib.sources.preview_limits import ROWS_BYTES, VALUE_CHARACTERS
from chalicelib.sources.protocol import Query, Source
from chalicelib.sources.registry import check_settings, open_source

NUMBERS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {}) SELECT {} FROM c"


@pytest.fixture
def source(tmp_path: Path) -> Any:
    with closing(sqlite3.connect(tmp_path / "shop.db")):
        pass
    with open_source("sqlite", {"path": "shop.db"}, None, data_folder=tmp_path) as source:
        yield source


def one(source: Source, sql: str, **values: Any) -> list[str | None]:
    (row,) = source.preview(Query("q", sql, values), 1).rows
    return row


def test_a_long_value_is_cut_before_python_has_it(source: Source) -> None:
    text, blob = one(source, "SELECT replace(hex(zeroblob(3000000)), '0', 'é') AS a, zeroblob(3000000) AS b")
    assert text == "é" * (VALUE_CHARACTERS + 1)
    assert blob is not None
    assert VALUE_CHARACTERS < len(blob) <= VALUE_CHARACTERS + 4


def test_rows_are_fetched_until_there_are_enough_bytes(source: Source) -> None:
    columns = ", ".join(f"substr(hex(zeroblob(1000)), 1, 1500) AS c{number}" for number in range(400))
    found = source.preview(Query("q", NUMBERS.format(100, columns)), 100)
    assert len(found.rows) == ROWS_BYTES // (400 * 1_500)
    assert found.more


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT zeroblob(1000000000) AS a",
        "SELECT hex(zeroblob(400000000)) AS a",
        # Little of all memory, and more than one value may take.
        "SELECT length(hex(zeroblob(20000000))) AS a",
        "SELECT 'a' LIKE replace(hex(zeroblob(1000)), '0', '%a') AS a",
    ],
)
def test_a_value_or_a_pattern_that_is_too_long_is_refused(source: Source, sql: str) -> None:
    for ask in (source.preview, lambda query, _: source.export_csv(query, CsvOptions(), lambda block: None)):
        with pytest.raises(QueryFailed):
            ask(Query("q", sql), 1)


def test_a_query_that_takes_too_much_memory_is_refused(source: Source) -> None:
    columns = ", ".join(f"hex(zeroblob(16000000)) AS c{number}" for number in range(20))
    with pytest.raises(QueryFailed, match="more memory than the 256 MiB"):
        source.preview(Query("q", f"SELECT * FROM (SELECT {columns}) LIMIT 1"), 1)
    assert one(source, "SELECT 1 AS a") == ["1"], "and the next one works"


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**400, Decimal("1e400"), Decimal("-1e400")], ids=range(5))
def test_a_number_that_sqlite_has_not_is_refused_by_name(source: Source, value: Any) -> None:
    with pytest.raises(QueryFailed, match="too large a number") as refused:
        one(source, "SELECT :amount AS a", amount=value)
    assert refused.value.field == "parameters.amount"


def test_the_largest_numbers_pass(source: Source) -> None:
    assert one(source, "SELECT :a AS a, :b AS b", a=2**63 - 1, b=-(2**63)) == [str(2**63 - 1), str(-(2**63))]


@pytest.mark.parametrize(("form", "shown"), [("text", "0999-01-02 03:04:05"), ("iso", "0999-01-02T03:04:05Z")])
def test_a_year_has_four_digits(tmp_path: Path, form: str, shown: str) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")):
        pass
    settings = {"path": "shop.db", "datetime_format": form}
    with open_source("sqlite", settings, None, data_folder=tmp_path) as source:
        assert one(source, "SELECT :at AS a", at=datetime(999, 1, 2, 3, 4, 5, tzinfo=UTC)) == [shown]


def test_names_in_both_cases_are_two_columns(source: Source) -> None:
    assert one(source, 'SELECT 1 AS a, 2 AS "A"') == ["1", "2"]


def test_a_path_is_no_longer_than_a_path(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        check_settings("sqlite", {"path": "x" * 5_000}, data_folder=tmp_path)
    assert refused.value.field == "settings.path"
