"""How a CSV file is written."""

from __future__ import annotations

import csv
import io
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.sources.csv_options import BOM, CsvOptions, LineEnds


@pytest.mark.parametrize(
    "change",
    [
        {"delimiter": ""},
        {"delimiter": ",,"},
        {"delimiter": '"'},
        {"delimiter": "\n"},
        {"delimiter": "a"},
        {"delimiter": "1"},
        {"delimiter": "，"},
        {"line_end": "cr"},
        {"null_text": "a,b"},
        {"null_text": '"'},
        {"null_text": "\n"},
        {"null_text": "0"},  # no number could be told from NULL
        {"null_text": "x" * 21},
        {"encoding": "gbk"},
    ],
)
def test_a_wrong_option_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        CsvOptions(**change)


@pytest.mark.parametrize(
    ("options", "head"),
    [
        (CsvOptions(), b"id,name\n"),
        (CsvOptions(line_end="crlf"), b"id,name\r\n"),
        (CsvOptions(bom=True), BOM + b"id,name\n"),
        (CsvOptions(bom=True, header=False), BOM),
        (CsvOptions(header=False), b""),
        (CsvOptions(delimiter="\t"), b"id\tname\n"),
    ],
)
def test_the_prologue_is_the_mark_and_the_header(options: CsvOptions, head: bytes) -> None:
    assert options.prologue(["id", "name"]) == head


def test_header_cells_are_quoted_and_guarded_like_others() -> None:
    assert CsvOptions().prologue(["a,b", 'c"d', "=e", "名"]) == '"a,b","c""d",\'=e,名\n'.encode()


def test_options_are_frozen() -> None:
    with pytest.raises(pydantic.ValidationError):
        CsvOptions().delimiter = ";"  # type: ignore[misc]


_CELL = st.text(alphabet='ab",\r\n中', max_size=6)


@given(st.lists(st.lists(_CELL, min_size=2, max_size=4), max_size=20), st.lists(st.integers(1, 12), max_size=60))
def test_line_ends_change_outside_of_quotes_wherever_blocks_are_cut(rows: list[list[str]], cuts: list[int]) -> None:
    def written(line_end: str) -> bytes:
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(rows)
        return out.getvalue().encode()

    content, ends, found = written("\n"), LineEnds(b"\n", b"\r\n"), []
    for cut in cuts:
        found.append(ends.convert(content[:cut]))
        content = content[cut:]
    found.append(ends.convert(content))
    assert b"".join(found) == written("\r\n")


@given(st.lists(st.lists(_CELL, min_size=2, max_size=4), max_size=20))
def test_the_reverse_conversion_keeps_carriage_returns_inside_of_quotes(rows: list[list[str]]) -> None:
    forth, back = io.StringIO(newline=""), io.StringIO(newline="")
    csv.writer(forth, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows(rows)
    csv.writer(back, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    assert LineEnds(b"\r\n", b"\n").convert(forth.getvalue().encode()) == back.getvalue().encode()
