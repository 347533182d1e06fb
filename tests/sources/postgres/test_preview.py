"""What a preview brings: values cut by the server, rows until there are enough bytes, each value as it writes it."""

from __future__ import annotations

import re

import pytest

from chalicelib.sources.postgres.preview import rows_of
from chalicelib.sources.preview_limits import ROWS_BYTES, VALUE_CHARACTERS, within_limits
from chalicelib.sources.protocol import Query, Source


def test_a_long_value_is_cut_before_it_is_fetched(source: Source) -> None:
    found = source.preview(Query("q", "SELECT repeat('é', 5000000) AS a, 1 AS b FROM generate_series(1, 3)"), 2)
    assert [[len(cell or "") for cell in row] for row in found.rows] == [[VALUE_CHARACTERS + 1, 1]] * 2
    assert found.more


def test_a_wide_result_is_fetched_only_until_there_are_enough_bytes(source: Source) -> None:
    columns, cell = 400, 1_500
    wide = ", ".join(f"repeat('x', {cell}) AS c{number}" for number in range(columns))
    found = source.preview(Query("q", f"SELECT {wide} FROM generate_series(1, 100)"), 100)
    assert len(found.rows) == ROWS_BYTES // (columns * cell)
    assert found.more


def test_all_rows_of_a_wide_result_that_is_small_are_shown(source: Source) -> None:
    wide = ", ".join(f"n AS c{number}" for number in range(400))
    found = source.preview(Query("q", f"SELECT {wide} FROM generate_series(1, 9) AS n"), 9)
    assert [row[399] for row in found.rows] == [str(number) for number in range(1, 10)]
    assert not found.more


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("SELECT true AS a, NULL::int AS b, ROW(NULL, NULL) AS c, ARRAY[NULL, 1] AS d", ["t", None, "(,)", "{NULL,1}"]),
        ("SELECT 'ab'::char(4) AS a, ''::text AS b, 0.10::numeric AS c, '{}'::json AS d", ["ab  ", "", "0.10", "{}"]),
        ('SELECT 1 AS a, 2 AS "A"', ["1", "2"]),
        ("VALUES (1, '%s'), (2, 'x')", ["1", "%s"]),
    ],
)
def test_a_value_is_as_the_server_writes_it(source: Source, sql: str, row: list[str | None]) -> None:
    assert source.preview(Query("q", sql), 1).rows == [row]


def test_a_column_is_computed_once(source: Source) -> None:
    sql = "SELECT CASE WHEN random() < 0.5 THEN NULL ELSE 'x' END AS a FROM generate_series(1, 100)"
    assert {cell for (cell,) in source.preview(Query("q", sql), 100).rows} == {None, "x"}


class Cursor:
    """A server's cursor whose rows have no end; counts those that were fetched at once."""

    def __init__(self) -> None:
        self.fetched: list[int] = []

    def execute(self, sql: str | bytes) -> None:
        self._asked = re.findall(r"FETCH FORWARD (\d+)", sql.decode() if isinstance(sql, bytes) else sql)

    def fetchall(self) -> list[list[str]]:
        (count,) = self._asked
        self.fetched.append(int(count))
        return [["x" * 1_500] * 400] * int(count)


def test_no_more_rows_of_a_wide_result_are_fetched_than_memory_has_room_for() -> None:
    cursor = Cursor()
    shown, _ = within_limits(rows_of(cursor, "SELECT wide", columns=400, limit=100), 100)
    assert len(shown) <= sum(cursor.fetched) <= len(shown) + cursor.fetched[0]
    assert cursor.fetched[0] * 400 * VALUE_CHARACTERS <= ROWS_BYTES
