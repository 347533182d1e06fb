"""Reads just enough of a query's text to know where its parameters are and that it is one closed statement.

The sources put a report's query inside `COPY ( … ) TO STDOUT`, or inside `SELECT * FROM ( … )`. That is safe only when
the text cannot leave the parentheses, so the tokenizer must read strings, names and comments exactly as the database
does: what it reads as text inside a string must not be code to the database. The rules are those of PostgreSQL's
lexer (https://www.postgresql.org/docs/current/sql-syntax-lexical.html) and of SQLite's
(https://sqlite.org/lang.html).

The read-only session of the database keeps a report from writing. `writes` only says so earlier, in plain words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.errors import QueryFailed
from chalicelib.sources.parameters import WINDOW


@dataclass(frozen=True)
class Dialect:
    """Where the databases' lexers differ. Each source class has its own in `dialect`."""

    escape_strings: bool = False  # E'it\'s'
    dollar_quotes: bool = False  # $tag$ … $tag$
    nested_comments: bool = False  # /* /* */ */
    bracket_names: bool = False  # [name] and `name`
    other_parameters: str = ""  # what begins a parameter that is not written :name
    line_ends: str = "\n\r"  # what ends a -- comment


# What a query may begin with. Everything else gives no rows, or cannot stand inside parentheses.
READING = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "("})
# A verb and the word after it: together they make a statement that writes.
_WRITING = {"INSERT": "INTO", "DELETE": "FROM", "MERGE": "INTO", "REPLACE": "INTO"}

# Only ASCII counts as space or digit to the databases, and every character beyond ASCII may be part of a name.
_SPACE = re.compile(r"[ \t\n\r\f\v]+")
_WORD = re.compile(r"[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*", re.ASCII)
_NUMBER = re.compile(r"[0-9]+")
_PARAMETER = re.compile(r":([A-Za-z_]\w*)", re.ASCII)
_OTHER_PARAMETER = re.compile(r"[?@$]\w*", re.ASCII)
_PLAIN_STRING = re.compile(r"'(?:[^']|'')*'")
_ESCAPE_STRING = re.compile(r"'(?:[^'\\]|''|\\.)*'", re.DOTALL)
# A string literal may continue after a line break, and an E'' string keeps its backslashes there.
_GOES_ON = re.compile(r"(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*(?=')")
_NAME = re.compile(r'"(?:[^"]|"")*"')
_BRACKET_NAME = re.compile(r"\[[^\]]*\]|`(?:[^`]|``)*`")
_DOLLAR = re.compile(r"\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$", re.ASCII)
_COMMENT_EDGE = re.compile(r"/\*|\*/")


@dataclass(frozen=True)
class Statement:
    """One statement without its trailing semicolon: pieces of text, and between them the names of parameters.

    `texts` has one item more than `names`.
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]
    verb: str
    writes: str | None = None

    @property
    def parameters(self) -> frozenset[str]:
        return frozenset(self.names)

    @property
    def computes(self) -> bool:
        """Whether a column may be more than a plain one: without a parenthesis there is no call and no subquery."""
        return any("(" in text for text in self.texts)

    def render(self, place: Callable[[str], str]) -> str:
        """The text with `place(name)` where each parameter stood."""
        pieces = [self.texts[0]]
        for name, text in zip(self.names, self.texts[1:], strict=True):
            pieces += [place(name), text]
        return "".join(pieces)

    def need_values(self, values: Mapping[str, Any], query_name: str) -> None:
        """Raise `QueryFailed` naming the parameters that have no value."""
        missing = self.parameters - set(values)
        if unknown := sorted(missing - WINDOW):
            raise QueryFailed(
                f"Query {query_name!r} uses {_listed(unknown)}, which the report does not declare. "
                "(A colon that is not a parameter needs a space after it.)",
                field=f"parameters.{unknown[0]}",
            )
        if missing:
            raise QueryFailed(self.window_words(query_name), field="window")

    def window_words(self, query_name: str) -> str:
        """Why the query cannot run without a window; empty when it can."""
        used = sorted(self.parameters & WINDOW)
        return f"Query {query_name!r} needs a window; only one gives {_listed(used)}." if used else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f":{name}" for name in names)


def parse(sql: str, dialect: Dialect, query_name: str = "query") -> Statement:
    """The statement, or `QueryFailed` saying why the text is not one closed statement that reads."""
    if "\x00" in sql:
        raise QueryFailed(f"Query {query_name!r} contains a NUL character.")
    texts: list[str] = []
    names: list[str] = []
    words: list[str] = []
    text_begins = depth = 0
    end = len(sql)
    ended_at: int | None = None
    for kind, begin, stop in _tokens(sql, dialect, query_name):
        if kind == "skip":
            continue
        if ended_at is not None:
            raise QueryFailed(f"Query {query_name!r} has more than one statement: remove what follows the first ';'.")
        if kind == "other parameter":
            raise QueryFailed(f"Query {query_name!r} uses {sql[begin:stop]}. Write a parameter as :name.")
        if kind == "parameter":
            texts.append(sql[text_begins:begin])
            names.append(sql[begin + 1 : stop])
            text_begins = stop
            words.append(":")
            continue
        word = sql[begin:stop].upper() if kind == "word" else sql[begin] if kind == "sign" else kind
        words.append(word)
        if word == "(":
            depth += 1
        elif word == ")":
            depth -= 1
            if depth < 0:
                raise QueryFailed(f"Query {query_name!r} closes a parenthesis that it did not open.")
        elif word == ";":
            ended_at = end = begin
            words.pop()
    if depth:
        raise QueryFailed(f"Query {query_name!r} leaves {depth} parenthesis open.")
    if not words:
        raise QueryFailed(f"Query {query_name!r} is empty.")
    texts.append(sql[text_begins:end])
    return Statement(tuple(texts), tuple(names), words[0], _writing_verb(words))


def parse_reading(sql: str, dialect: Dialect, query_name: str = "query") -> Statement:
    """The same, and `QueryFailed` for a statement that writes or has no result set."""
    statement = parse(sql, dialect, query_name)
    if statement.writes:
        raise QueryFailed(f"Query {query_name!r} writes ({statement.writes}). A report may only read.")
    if statement.verb not in READING:
        raise QueryFailed(
            f"Query {query_name!r} begins with {statement.verb}, which gives no rows to export. "
            "Begin it with SELECT, WITH or VALUES."
        )
    return statement


def _writing_verb(words: list[str]) -> str | None:
    """The verb that writes. It begins the text, or stands after a parenthesis: `WITH a AS (DELETE FROM …)`, `WITH … )
    INSERT INTO …`.
    """
    for before, verb, after in zip(["(", *words], words, [*words[1:], ""], strict=False):
        if before not in ("(", ")"):
            continue
        if _WRITING.get(verb) == after or (verb == "UPDATE" and (after[:1].isalpha() or after in ("_", "name"))):
            return verb
    return None


def _tokens(sql: str, dialect: Dialect, query_name: str) -> Iterable[tuple[str, int, int]]:
    """(kind, begin, stop); kind is skip, parameter, other parameter, word, name, string, number, cast, or sign: one
    character.
    """
    at = 0
    while at < len(sql):
        kind, stop = _token_at(sql, at, dialect, query_name)
        yield kind, at, stop
        at = stop


def _token_at(sql: str, at: int, dialect: Dialect, query_name: str) -> tuple[str, int]:
    first = sql[at]
    two = sql[at : at + 2]
    if match := _SPACE.match(sql, at):
        return "skip", match.end()
    if two == "--":
        ends = [end for end in (sql.find(mark, at) for mark in dialect.line_ends) if end >= 0]
        return "skip", min(ends, default=len(sql))
    if two == "/*":
        return "skip", _comment_end(sql, at, dialect, query_name)
    if two == "::":
        return "cast", at + 2
    if first == ":" and (match := _PARAMETER.match(sql, at)):
        return "parameter", match.end()
    if first in dialect.other_parameters and (match := _OTHER_PARAMETER.match(sql, at)):
        return "other parameter", match.end()
    if first == "'":
        return "string", _closed(_PLAIN_STRING, sql, at, query_name, "string")
    if first in "eE" and dialect.escape_strings and sql[at + 1 : at + 2] == "'":
        stop = _closed(_ESCAPE_STRING, sql, at + 1, query_name, "string")
        while match := _GOES_ON.match(sql, stop):
            stop = _closed(_ESCAPE_STRING, sql, match.end(), query_name, "string")
        return "string", stop
    if first == '"':
        return "name", _closed(_NAME, sql, at, query_name, "quoted name")
    if first in "[`" and dialect.bracket_names:
        return "name", _closed(_BRACKET_NAME, sql, at, query_name, "quoted name")
    if first == "$" and dialect.dollar_quotes and (match := _DOLLAR.match(sql, at)):
        close = sql.find(match.group(), match.end())
        if close < 0:
            raise _not_closed(query_name, f"{match.group()} string", sql, at)
        return "string", close + len(match.group())
    if match := _WORD.match(sql, at):
        return "word", match.end()
    if match := _NUMBER.match(sql, at):
        return "number", match.end()
    return "sign", at + 1


def _comment_end(sql: str, at: int, dialect: Dialect, query_name: str) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, at):
        if edge.group() == "*/":
            depth -= 1
        elif depth == 0 or dialect.nested_comments:
            depth += 1
        if depth == 0:
            return edge.end()
    raise _not_closed(query_name, "comment", sql, at)


def _closed(pattern: re.Pattern[str], sql: str, at: int, query_name: str, what: str) -> int:
    match = pattern.match(sql, at)
    if match is None:
        raise _not_closed(query_name, what, sql, at)
    return match.end()


def _not_closed(query_name: str, what: str, sql: str, at: int) -> QueryFailed:
    line = sql.count("\n", 0, at) + 1
    return QueryFailed(f"Query {query_name!r} has a {what} that is not closed (it begins on line {line}).")
