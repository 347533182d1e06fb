"""Cuts the text of a query into tokens, exactly as the database does, in time that grows with the text alone.

The rules are those of PostgreSQL's lexer (https://www.postgresql.org/docs/current/sql-syntax-lexical.html) and of
SQLite's (https://sqlite.org/lang.html).

Each editor may send text here, so no text may cost more than its length. Every pattern below is one set of characters,
repeated at most; the rest are loops that never go back. `looked_at` counts the characters that the steps cover, and a
test holds it against the length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from chalicelib.errors import QueryFailed


@dataclass(frozen=True)
class Dialect:
    """Where the databases' lexers differ. Each source class has its own in `dialect`."""

    escape_strings: bool = False  # E'it\'s'
    dollar_quotes: bool = False  # $tag$ … $tag$
    nested_comments: bool = False  # /* /* */ */
    bracket_names: bool = False  # [name] and `name`
    other_parameters: str = ""  # what begins a parameter that is not written :name
    returns_end_lines: bool = True  # a carriage return ends a -- comment, as a line feed does


# Only ASCII counts as space or digit to the databases, and every character beyond ASCII may be part of a name.
_SPACE = re.compile(r"[ \t\n\r\f\v]*")
_SPACE_IN_LINE = re.compile(r"[ \t\f\v]*")
_WORD_BEGINS = re.compile(r"[A-Za-z_\x80-\U0010ffff]")
_WORD = re.compile(r"[A-Za-z0-9_$\x80-\U0010ffff]*")
_TAG = re.compile(r"[A-Za-z0-9_\x80-\U0010ffff]*")
_PARAMETER_BEGINS = re.compile(r"[A-Za-z_]")
_PARAMETER = re.compile(r"[A-Za-z0-9_]*")
_NUMBER = re.compile(r"[0-9]*")
_LINE = re.compile(r"[^\n\r]*")
_LINE_WITH_RETURNS = re.compile(r"[^\n]*")
_NOT_ESCAPE_EDGE = re.compile(r"[^'\\]*")
_NOT_COMMENT_EDGE = re.compile(r"[^*/]*")


class Lexer:
    """The tokens of one query. Raises `QueryFailed` for a string, name or comment that does not end."""

    def __init__(self, sql: str, dialect: Dialect, query_name: str) -> None:
        self._sql = sql
        self._dialect = dialect
        self._query_name = query_name
        self._line = _LINE if dialect.returns_end_lines else _LINE_WITH_RETURNS
        self.looked_at = 0

    def tokens(self) -> Iterator[tuple[str, int, int]]:
        """(kind, begin, stop); kind is skip, parameter, other parameter, word, name, string, number, cast, or sign: one
        character.
        """
        at = 0
        while at < len(self._sql):
            kind, stop = self._token_at(at)
            yield kind, at, stop
            at = stop

    def _token_at(self, at: int) -> tuple[str, int]:
        sql, dialect, first = self._sql, self._dialect, self._sql[at]
        self.looked_at += 1
        if first in " \t\n\r\f\v":
            return "skip", self._run(_SPACE, at)
        if _WORD_BEGINS.match(first):
            if first in "eE" and dialect.escape_strings and sql.startswith("'", at + 1):
                return "string", self._escape_string(at + 1)
            return "word", self._run(_WORD, at)
        if first in "0123456789":
            return "number", self._run(_NUMBER, at)
        if first == "'":
            return "string", self._quoted(at, "'", "string")
        if first == '"':
            return "name", self._quoted(at, '"', "quoted name")
        if first == "-" and sql.startswith("--", at):
            return "skip", self._run(self._line, at)
        if first == "/" and sql.startswith("/*", at):
            return "skip", self._comment(at)
        if first == ":":
            if sql.startswith("::", at):
                return "cast", at + 2
            if _PARAMETER_BEGINS.match(sql, at + 1):
                return "parameter", self._run(_PARAMETER, at + 1)
        if first in dialect.other_parameters:
            return "other parameter", self._run(_PARAMETER, at + 1)
        if first == "$" and dialect.dollar_quotes and (stop := self._dollar_string(at)) is not None:
            return "string", stop
        if dialect.bracket_names and first in "[`":
            return "name", self._bracket_name(at) if first == "[" else self._quoted(at, "`", "quoted name")
        return "sign", at + 1

    def _quoted(self, at: int, quote: str, what: str) -> int:
        """Behind the closing quote. A doubled quote is one that belongs to the text."""
        stop = at + 1
        while (close := self._find(quote, stop)) >= 0:
            if not self._sql.startswith(quote, close + 1):
                return close + 1
            stop = close + 2
        raise self._not_closed(what, at)

    def _escape_string(self, at: int) -> int:
        """Behind an E'' string. It may continue after a line break, and keeps its backslashes there."""
        stop = self._escape_part(at)
        while (begin := self._continued(stop)) is not None:
            stop = self._escape_part(begin)
        return stop

    def _escape_part(self, at: int) -> int:
        sql, stop = self._sql, at + 1
        while (edge := self._run(_NOT_ESCAPE_EDGE, stop)) < len(sql):
            if sql[edge] == "'" and not sql.startswith("'", edge + 1):
                return edge + 1
            stop = edge + 2
        raise self._not_closed("string", at)

    def _continued(self, at: int) -> int | None:
        """Where the string goes on: a quote behind space and comments with a line break among them; else None."""
        sql, space, broken = self._sql, _SPACE_IN_LINE, False
        while True:
            at = self._run(space, at)
            if sql.startswith("--", at):
                at = self._run(_LINE, at)
                if at == len(sql):
                    return None
            elif sql[at : at + 1] not in ("\n", "\r"):
                return at if broken and sql.startswith("'", at) else None
            space, broken = _SPACE, True

    def _dollar_string(self, at: int) -> int | None:
        """Behind a $tag$ string; None when the dollar begins none."""
        begin = at + 1 if self._sql[at + 1 : at + 2] in "0123456789" else self._run(_TAG, at + 1)
        if not self._sql.startswith("$", begin):
            return None
        tag = self._sql[at : begin + 1]
        close = self._find(tag, begin + 1)
        if close < 0:
            raise self._not_closed(f"{tag} string", at)
        return close + len(tag)

    def _bracket_name(self, at: int) -> int:
        close = self._find("]", at + 1)
        if close < 0:
            raise self._not_closed("quoted name", at)
        return close + 1

    def _comment(self, at: int) -> int:
        if not self._dialect.nested_comments:
            close = self._find("*/", at + 2)
            if close < 0:
                raise self._not_closed("comment", at)
            return close + 2
        sql, depth, stop = self._sql, 1, at + 2
        while (edge := self._run(_NOT_COMMENT_EDGE, stop)) < len(sql):
            stop = edge + 2
            if sql.startswith("*/", edge):
                depth -= 1
                if depth == 0:
                    return stop
            elif sql.startswith("/*", edge):
                depth += 1
            else:
                stop = edge + 1
        raise self._not_closed("comment", at)

    def _run(self, characters: re.Pattern[str], at: int) -> int:
        """Behind the characters of one set that follow each other from `at`."""
        match = characters.match(self._sql, at)
        stop = at if match is None else match.end()
        self.looked_at += stop - at + 1
        return stop

    def _find(self, text: str, at: int) -> int:
        found = self._sql.find(text, at)
        self.looked_at += (len(self._sql) if found < 0 else found + len(text)) - at
        return found

    def _not_closed(self, what: str, at: int) -> QueryFailed:
        line = self._sql.count("\n", 0, at) + 1
        return QueryFailed(f"Query {self._query_name!r} has a {what} that is not closed (it begins on line {line}).")
