"""How SQLite's rows become CSV: by csv.writer, the fastest way there is.

SQLite has no type per column but one per value. So SQL makes of each value what csv.writer then writes as it stands:
blobs become `\\x…` as in PostgreSQL, and an empty text, which csv.writer cannot tell from NULL, becomes a mark that
is replaced in the block.
"""

# ruff: noqa: S608 - the query is the report's own text, closed by sources/sql.py; values are bound

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

from chalicelib.sources.blocks import MIN_BLOCK_BYTES
from chalicelib.sources.csv_options import FORMULA_STARTS, WIDE_FORMULA_STARTS, CsvOptions
from chalicelib.sources.protocol import Column

# Rows between two checks of the block's size: few, so that rows of a megabyte do not pile up.
ROWS_AT_ONCE = 16


class Marks:
    """Stand-ins for what csv.writer cannot write: a quoted empty cell, and a NULL that is a row's only cell.

    They are drawn anew for each export, so no data can contain them. The carriage return has csv.writer quote the
    first.
    """

    def __init__(self, options: CsvOptions, mark: str, *, single_column: bool) -> None:
        self.values = {
            "carillon_null_text": options.null_text,
            "carillon_quoted": "\r" + mark,
            "carillon_null": mark if single_column and not options.null_text else options.null_text or None,
        }
        self._bare = mark.encode()
        self._quoted = f'"\r{mark}"'.encode()
        self._as_written = f'"{options.null_text}"'.encode()

    def replace(self, block: bytes) -> bytes:
        if self._bare not in block:
            return block
        return block.replace(self._quoted, self._as_written).replace(self._bare, b"")


def blocks(rows: Iterator[Any], delimiter: str) -> Iterator[bytes]:
    """CSV with CR LF line ends, in blocks of whole rows."""
    waiting = io.StringIO(newline="")
    # csv.writer quotes a cell that contains a character of its line end, so its line end has both.
    writer = csv.writer(waiting, delimiter=delimiter, lineterminator="\r\n")
    ended = False
    while not ended:
        before = waiting.tell()
        writer.writerows(islice(rows, ROWS_AT_ONCE))
        ended = waiting.tell() == before
        if waiting.tell() >= MIN_BLOCK_BYTES or (ended and before):
            yield waiting.getvalue().encode()
            waiting.seek(0)
            waiting.truncate()


def wrapped(text: str, columns: tuple[Column, ...], options: CsvOptions, *, fenced: bool) -> str:
    """The query, with each value as csv.writer shall see it. Numbers pass after one comparison: they sort before all
    texts.
    """
    codes = ",".join(str(ord(sign)) for sign in FORMULA_STARTS)
    # What begins with a letter passes after two comparisons of bytes. In a file of UTF-16 more texts reach the list of
    # codes, and none that is in it escapes.
    may_be = f"({{0}} COLLATE BINARY < 'A' OR {{0}} COLLATE BINARY >= '{min(WIDE_FORMULA_STARTS)}')"
    guard = f"WHEN {may_be} AND unicode({{0}}) IN ({codes}) THEN '''' || {{0}} "
    value = (
        "CASE WHEN {0} >= '' THEN CASE WHEN {0} >= x'' THEN '\\x' || lower(hex({0})) "
        "WHEN {0} COLLATE BINARY = :carillon_null_text THEN :carillon_quoted "
        + (guard if options.formula_guard else "")
        + "ELSE {0} END WHEN {0} IS NULL THEN :carillon_null ELSE {0} END"
    )
    wanted = ", ".join(value.format(f"q.{quoted_name(column.name)}") for column in columns)
    inner = f"SELECT * FROM (\n{text}\n)" + (" LIMIT -1 OFFSET 0" if fenced else "")
    return f"SELECT {wanted} FROM ({inner}) AS q"


def quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
