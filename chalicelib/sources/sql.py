"""Reads just enough of a query's text to know where its parameters are and that it is one closed statement.

The sources put a report's query inside `COPY ( … ) TO STDOUT`, or inside `SELECT * FROM ( … )`. That is safe only when
the text cannot leave the parentheses, so the lexer (`sql_tokens.py`) must read strings, names and comments exactly as
the database does: what it reads as text inside a string must not be code to the database.

The read-only session of the database keeps a report from writing. `writes` only says so earlier, in plain words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.errors import QueryFailed
from chalicelib.sources.parameters import WINDOW
from chalicelib.sources.sql_tokens import Dialect, Lexer

# Characters of a query with its values in it. A value that stands in it thousands of times would fill the memory.
LONGEST_SENT = 32 << 20
# What a query may begin with. Everything else gives no rows, or cannot stand inside parentheses.
READING = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "("})
# A verb and the word after it: together they make a statement that writes.
_WRITING = {"INSERT": "INTO", "DELETE": "FROM", "MERGE": "INTO", "REPLACE": "INTO"}


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
        """The text with `place(name)` where each parameter stood; `QueryFailed` when it is longer than LONGEST_SENT."""
        pieces = [self.texts[0]]
        length = sum(map(len, self.texts))
        for name, text in zip(self.names, self.texts[1:], strict=True):
            placed = place(name)
            length += len(placed)
            if length > LONGEST_SENT:
                limit = f"{LONGEST_SENT >> 20} MiB"
                raise QueryFailed(f"The query comes to more than {limit} with its values.", field=f"parameters.{name}")
            pieces += [placed, text]
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
    for kind, begin, stop in Lexer(sql, dialect, query_name).tokens():
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
