"""An error of a database keeps its message and its code, and quotes no value, unless the source shows them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import QueryFailed, RunError
from chalicelib.sources.csv_options import CsvOptions
from chalicelib.sources.protocol import Query, Source
from chalicelib.sources.quoted_values import masked, masked_details
from chalicelib.sources.registry import open_source
from tests.support.postgres import PostgresServer
from tests.support.postgres_source import opened

# (a query that fails at a value of column `word`, what stays of the message, its code)
FAILING = [
    ("SELECT word::int AS a FROM people", "invalid input syntax for type integer", "22P02"),
    ("SELECT word::date AS a FROM people", "invalid input syntax for type date", "22007"),
    ("SELECT word::int[] AS a FROM people", "malformed array literal", "22P02"),
    ("SELECT word::json AS a FROM people", "invalid input syntax for type json", "22P02"),
    ("SELECT word::inet AS a FROM people", "invalid input syntax for type inet", "22P02"),
    ("SELECT (digits || '99999999999')::int AS a FROM people", "value *** is out of range", "22003"),
    ("SELECT now() AT TIME ZONE word AS a FROM people", "time zone *** not recognized", "22023"),
    ("SELECT raising(word) AS a FROM people", "***", "P0001"),
    ("SELECT raising_as(word) AS a FROM people", "***", "ZZ001"),
]
FUNCTIONS = """
CREATE TABLE people (word text, digits text);
INSERT INTO people VALUES ('olga@x.example "really"', '4242');
CREATE FUNCTION raising(word text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no account of %', word USING DETAIL = word, HINT = word; END $$;
CREATE FUNCTION raising_as(word text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no account of %', word USING ERRCODE = 'ZZ001'; END $$;
"""


@pytest.fixture(scope="module")
def people(postgres: PostgresServer) -> Any:
    with postgres.fresh_database() as database:
        database.run(FUNCTIONS)
        yield database


def said(source: Source, sql: str) -> list[str]:
    """What a preview and an export say of their failure."""
    found = []
    for ask in (source.preview, lambda query, _: source.export_csv(query, CsvOptions(), lambda block: None)):
        with pytest.raises(RunError) as failed:
            ask(Query("q", sql), 1)
        found.append(failed.value.message)
    return found


@pytest.mark.parametrize(("sql", "message", "code"), FAILING)
def test_the_message_and_the_code_stay_and_the_value_does_not(
    people: PostgresServer, sql: str, message: str, code: str
) -> None:
    with opened(people) as source:
        for text in said(source, sql):
            assert message in text
            assert f"SQLSTATE {code}" in text
            assert "olga" not in text
            assert "really" not in text
            assert "4242" not in text


@pytest.mark.parametrize(("sql", "message", "code"), FAILING)
def test_a_source_may_show_the_values(people: PostgresServer, sql: str, message: str, code: str) -> None:
    with opened(people, settings={"show_values": True}) as source:
        for text in said(source, sql):
            assert f"SQLSTATE {code}" in text
            assert "olga" in text or "4242" in text


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT absent FROM people", 'column "absent" does not exist'),
        ("SELECT 1 FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELECT 1 FORM people", 'syntax error at or near "people"'),
        ("SELECT 1 / 0 AS a", "division by zero"),
    ],
)
def test_what_is_wrong_with_the_query_itself_is_shown(people: PostgresServer, sql: str, words: str) -> None:
    with opened(people) as source:
        assert all(words in text for text in said(source, sql))


def test_bytes_that_are_no_text_are_masked(people: PostgresServer) -> None:
    with opened(people) as source:
        for text in said(source, r"SELECT convert_from('\xe4b8', 'UTF8') AS a"):
            assert "invalid byte sequence" in text
            assert "0x" not in text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE people (word TEXT)")
        connection.execute("INSERT INTO people VALUES (CAST(x'6f6c6761e9' AS TEXT))")
        connection.commit()
    return tmp_path


@pytest.mark.parametrize("shows", [False, True])
def test_sqlite_quotes_no_text_that_it_cannot_decode(file: Path, shows: bool) -> None:
    settings = {"path": "shop.db", "show_values": shows}
    with open_source("sqlite", settings, None, data_folder=file) as source:
        texts = said(source, "SELECT word FROM people")
    assert all("Could not decode" in text for text in texts)
    assert any("olga" in text for text in texts) == shows


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT absent FROM people", "no such column: absent"),
        ("SELECT 1 FROM nowhere", "no such table: nowhere"),
        ("SELECT 1 FORM people", 'near "people": syntax error'),
    ],
)
def test_what_is_wrong_with_an_sqlite_query_is_shown(file: Path, sql: str, words: str) -> None:
    with (
        open_source("sqlite", {"path": "shop.db"}, None, data_folder=file) as source,
        pytest.raises(QueryFailed, match=words),
    ):
        source.preview(Query("q", sql), 1)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("division by zero", "division by zero"),
        ('invalid input: "a"', "invalid input: ***"),
        ('invalid input: "a"b" c"', "invalid input: ***"),  # the value is a"b" c
        ('invalid "enum" value: "a\nb" here', "invalid *** here"),
        ("valeur invalide : « a »", "valeur invalide : ***"),
        ('cut off "a', "cut off ***"),
        ("invalid byte sequence: 0xe4 0xb8", "invalid byte sequence: *** ***"),
    ],
)
def test_all_from_the_first_quote_to_the_last_is_masked(text: str, left: str) -> None:
    assert masked(text) == left


def test_details_lose_what_stands_in_parentheses() -> None:
    assert masked_details("Key (mail)=(a@b.c) already exists.") == "Key (***) already exists."
    assert masked_details("Failing row contains (1, a (b") == "Failing row contains (***)"
