"""What is a parameter, what is text, and what is more than one closed statement that reads."""

from __future__ import annotations

import pytest

from chalicelib.errors import QueryFailed
from chalicelib.sources.postgres.source import DIALECT as POSTGRES
from chalicelib.sources.sql import parse, parse_reading
from chalicelib.sources.sqlite.source import DIALECT as SQLITE


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT :a", ["a"]),
        ("SELECT :a, :b, :a", ["a", "b", "a"]),
        ("SELECT :a::int, x::text", ["a"]),  # a cast is no parameter
        ("SELECT ':a', \":a\", E'\\':a'", []),  # inside strings and names
        ("SELECT $$ :a $$, $q$ $$ :a $q$", []),
        ("SELECT 1 -- :a\n, /* :b /* :c */ */ :d", ["d"]),
        ("SELECT x[1:2], f(a := 1)", []),  # a slice and a named argument
        ("SELECT '{\"a\": :x}'", []),
        ("SELECT E'a'\n 'b\\' :a' , :c", ["c"]),  # an E'' string goes on after a line break
        ("SELECT 'a\\', :a, '\\'", ["a"]),  # a plain string has no backslash escapes
        ("SELECT foo$bar$ , :a , baz$bar$", ["a"]),  # $ inside a name quotes nothing
        ("SELECT é$$ , :a -- $$", ["a"]),  # letters beyond ASCII belong to names too
        ("SELECT U&'\\' , :a", ["a"]),
    ],
)
def test_a_parameter_is_found_where_the_database_reads_code(sql: str, names: list[str]) -> None:
    assert list(parse(sql, POSTGRES).names) == names


def test_sqlite_reads_names_in_brackets_and_backquotes() -> None:
    assert parse("SELECT [:a], `:b`, :c", SQLITE).names == ("c",)


@pytest.mark.parametrize("written", ["?", "?1", "@top", "$top"])
def test_sqlite_s_other_parameters_are_refused_by_name(written: str) -> None:
    with pytest.raises(QueryFailed) as refused:
        parse(f"SELECT '{written}', {written} -- {written}", SQLITE, "daily")
    assert refused.value.message == f"Query 'daily' uses {written}. Write a parameter as :name."
    assert parse("SELECT a ? 'b', @ c FROM t", POSTGRES).names == ()


def test_sqlite_comments_do_not_nest() -> None:
    assert parse("SELECT /* /* :a */ :b", SQLITE).names == ("b",)


def test_a_sqlite_comment_goes_on_after_a_carriage_return() -> None:
    assert parse("SELECT 1 -- \r ) :a\n", SQLITE).names == ()


def test_rendering_replaces_parameters_only() -> None:
    statement = parse("SELECT ':a', :a::text, :b;  ", POSTGRES)
    assert statement.render(lambda name: f"<{name}>") == "SELECT ':a', <a>::text, <b>"


@pytest.mark.parametrize("sql", ["SELECT 1;", "SELECT 1 ;\n -- the end\n", "SELECT 1; /* ; */"])
def test_a_trailing_semicolon_is_taken_off(sql: str) -> None:
    assert parse(sql, POSTGRES).texts[0].rstrip() == "SELECT 1"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("SELECT 1;;", "more than one statement"),
        ("SELECT 1) TO '/tmp/x'; --", "did not open"),
        ("SELECT 1) TO PROGRAM 'id' --", "did not open"),
        ("SELECT (1", "parenthesis open"),
        ("SELECT 1) q; DROP TABLE t; SELECT * FROM (SELECT 1", "did not open"),
        ("SELECT 'a", "string that is not closed"),
        ('SELECT \n"a', "quoted name that is not closed (it begins on line 2)"),
        ("SELECT /* 1", "comment that is not closed"),
        ("SELECT /* /* */ 1", "comment that is not closed"),
        ("SELECT $a$ 1 $b$", "string that is not closed"),
        ("SELECT E'\\'", "string that is not closed"),
        # Seen as a string by a careless reader, the parenthesis would slip through.
        ("SELECT E'a\\\\') TO '/tmp/x' --'", "did not open"),
        ("SELECT 'a\\') TO '/tmp/x' --'", "did not open"),
        ("SELECT E'a'\n'\\\\') TO '/tmp/x' --'", "did not open"),
        ("SELECT é$a$) TO '/tmp/x' -- $a$", "did not open"),
        ("SELECT $1$a$ ) $a$", "parenthesis"),
        ("SELECT \x00", "NUL"),
        ("", "empty"),
        ("  -- nothing\n ; ", "empty"),
    ],
)
def test_text_that_could_leave_its_parentheses_is_refused(sql: str, words: str) -> None:
    if sql == "SELECT $1$a$ ) $a$":
        # PostgreSQL 14 and older read a dollar quote after the number, and so does this.
        assert parse(sql, POSTGRES).names == ()
        return
    with pytest.raises(QueryFailed) as refused:
        parse(sql, POSTGRES, "q")
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("sql", "verb"),
    [
        ("INSERT INTO t VALUES (1)", "INSERT"),
        ("insert into t select 1 returning *", "INSERT"),
        ("UPDATE t SET a = 1", "UPDATE"),
        ('UPDATE "t" SET a = 1', "UPDATE"),
        ("DELETE FROM t", "DELETE"),
        ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", "MERGE"),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "DELETE"),
        ("WITH x AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM x", "UPDATE"),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x RETURNING *", "INSERT"),
    ],
)
def test_a_statement_that_writes_is_named_as_such(sql: str, verb: str) -> None:
    with pytest.raises(QueryFailed, match=rf"writes \({verb}\)"):
        parse_reading(sql, POSTGRES)


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE t (a int)", "SET x = 1", "DO $$ $$", "VACUUM", "EXPLAIN SELECT 1", "CALL p()"]
)
def test_a_statement_without_rows_is_refused(sql: str) -> None:
    with pytest.raises(QueryFailed, match="gives no rows to export"):
        parse_reading(sql, POSTGRES)


@pytest.mark.parametrize(
    "sql",
    [
        "(SELECT 1) UNION (SELECT 2)",
        "VALUES (1), (2)",
        "TABLE t",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "SELECT updated, deleted FROM (SELECT 1) AS x",
        "SELECT sum(update) FROM t",  # a column may be called so
        "SELECT 'DELETE FROM t', \"INSERT\" FROM t",
    ],
)
def test_reading_is_not_mistaken_for_writing(sql: str) -> None:
    assert parse_reading(sql, POSTGRES).writes is None


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(QueryFailed, match="'daily' uses :nobody") as refused:
        parse("SELECT :somebody, :nobody", POSTGRES).need_values({"somebody": 1}, "daily")
    assert refused.value.field == "parameters.nobody"


@pytest.mark.parametrize("form", ["window_start", "window_end_local", "window_start_date", "window_last_date"])
def test_a_missing_window_is_said_to_be_needed(form: str) -> None:
    with pytest.raises(QueryFailed) as refused:
        parse(f"SELECT :{form}, :scheduled_for", POSTGRES).need_values({"scheduled_for": 1}, "daily")
    assert refused.value.message == f"Query 'daily' needs a window; only one gives :{form}."
    assert refused.value.field == "window"
