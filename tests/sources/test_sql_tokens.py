"""The lexer's work grows with the length of every text, and it reads as the database does where that is subtle."""

from __future__ import annotations

from contextlib import suppress

import pytest

from chalicelib.errors import QueryFailed
from chalicelib.sources.postgres.source import DIALECT as POSTGRES
from chalicelib.sources.sql import LONGEST_SENT, parse
from chalicelib.sources.sql_tokens import Dialect, Lexer
from chalicelib.sources.sqlite.source import DIALECT as SQLITE

# (what begins the text, what is repeated, what ends it); each was, or could be, read again and again.
HARD = [
    ("SELECT E'a'", "--", "x"),  # one comment, or as many as there are pairs of dashes
    ("SELECT E'a'", " \t", "x"),
    ("SELECT E'a'", "\n--", "x"),
    ("SELECT E'a'", "\n", "x"),
    ("SELECT ", "E'a'\n", "x"),
    ("SELECT ", "E'", ""),
    ("SELECT E'", "\\'", ""),
    ("SELECT E'", "''", ""),
    ("SELECT '", "''", ""),
    ("SELECT '", "'' ", ""),
    ("SELECT ", "--\n", ""),  # no carriage return ends any of them
    ("SELECT ", "-", ""),
    ("SELECT ", "/", ""),
    ("SELECT ", "/*", ""),
    ("SELECT /*", "*", ""),
    ("SELECT /*", "/*/", ""),
    ("SELECT ", "/**/", ""),
    ("SELECT ", "$", ""),
    ("SELECT ", "$a", ""),
    ("SELECT ", "$a ", ""),
    ("SELECT $a$", "$", ""),
    ("SELECT $a$", "$a ", ""),
    ("SELECT ", "$$$$", ""),
    ("SELECT ", "[", ""),
    ("SELECT ", "`", ""),
    ("SELECT ", ":", ""),
    ("SELECT ", ":a", ""),
    ("SELECT ", "@", ""),
    ("SELECT ", "(", ""),
    ("SELECT ", "a", ""),
    ("SELECT ", "é1", ""),
    ("SELECT ", "1", ""),
    ("SELECT ", " ", ""),
    ("SELECT ", '"', ""),
]


def looked_at(sql: str, dialect: Dialect) -> int:
    lexer = Lexer(sql, dialect, "q")
    with suppress(QueryFailed):
        list(lexer.tokens())
    return lexer.looked_at


@pytest.mark.parametrize("dialect", [POSTGRES, SQLITE], ids=["postgres", "sqlite"])
@pytest.mark.parametrize(("before", "repeated", "after"), HARD)
def test_four_times_the_text_is_four_times_the_work(before: str, repeated: str, after: str, dialect: Dialect) -> None:
    once, more = (looked_at(before + repeated * count + after, dialect) for count in (500, 2_000))
    assert more <= 4.1 * once
    # Each character is looked at a few times, by the steps that end before it and after it.
    assert more <= 4 * len(before + repeated * 2_000 + after)


def test_a_sqlite_comment_may_end_with_the_star_of_a_second_beginning() -> None:
    """SQLite ends the comment at `*/`, also where a `/` stands before it: what follows is code."""
    with pytest.raises(QueryFailed, match="did not open"):
        parse("SELECT 1 /* /*/ ) --*/", SQLITE)
    assert parse("SELECT 1 /* /*/ ) */ */", POSTGRES).names == ()


@pytest.mark.parametrize(
    "sql", ["SELECT E'a' -- \n 'b\\' :a'", "SELECT E'a'--\n--\n'b\\' :a'", "SELECT E'a'\r\t'\\' :a'"]
)
def test_an_escape_string_goes_on_behind_comments_that_end_their_line(sql: str) -> None:
    assert parse(sql, POSTGRES).names == ()


def test_a_query_that_its_values_make_too_long_is_refused_before_it_is_made() -> None:
    asked: list[str] = []

    def place(name: str) -> str:
        asked.append(name)
        return "x" * (LONGEST_SENT // 100)

    statement = parse("SELECT " + ", ".join([":a"] * 5_000), POSTGRES)
    with pytest.raises(QueryFailed, match="comes to more than 32 MiB") as refused:
        statement.render(place)
    assert refused.value.field == "parameters.a"
    assert len(asked) <= 101
