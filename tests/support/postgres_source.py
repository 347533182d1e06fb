"""The PostgreSQL source under test: how it is opened and what its exports give, and a table of awkward values."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import threading
from collections.abc import Iterator
from typing import Any

from chalicelib.sources.csv_options import CsvOptions
from chalicelib.sources.protocol import Query, Source
from chalicelib.sources.registry import open_source
from tests.support.postgres import PostgresServer
from tests.support.waiting import PATIENCE_SECONDS, wait_for

PLAIN = CsvOptions(formula_guard=False)
# A series in the select list flows; one in FROM is stored whole before its first row.
ENDLESS = "SELECT generate_series(1, 100000000) AS n, 'a word' AS word"
MANY = "SELECT n, md5(n::text) AS hash, 'é' || n AS word FROM generate_series(1, 200000) AS n"
NUMBERS = itertools.count(1)

NASTY = r"""
CREATE TYPE mood AS ENUM ('=sad', 'fine');
CREATE DOMAIN code AS varchar(10);
CREATE TABLE nasty (
    id bigint, price numeric(30, 12), ratio double precision, small real, flag boolean, word text, fixed char(6),
    short varchar(40), day date, at timestamptz, wall timestamp, span interval, list text[], numbers int[], doc json,
    docb jsonb, raw bytea, key uuid, net inet, feeling mood, label code, period tstzrange, big numeric, markup text
);
INSERT INTO nasty VALUES
    (9223372036854775807, 0.100000000001, 0.1, 0.1, true, E'a "quoted", text\nwith a line', 'ab', 'x,y', '2013-01-31',
     '2013-01-31 16:00:00.123456+00', '2013-01-31 16:00', '1 day 02:03', ARRAY['a,b', 'c"d', NULL, ''], '{1,2}',
     '{"a": "b, \"c\""}', '[1, null]', '\x00ff', '11111111-1111-1111-1111-111111111111', '10.0.0.0/8', '=sad', '=1+1',
     '[2013-01-01 00:00+00,2013-02-01 00:00+00)', 123456789012345678901234567890.123456789, '<a>1</a>'),
    (-9223372036854775808, -0.000000000001, 1e308, 'NaN', false, '', '', '', '0001-01-01', 'infinity',
     '9999-12-31 23:59:59.999999', '-1 mons', '{}', '{}', '""', '{}', '', NULL, '::1', 'fine', '', 'empty', 'NaN',
     '-1'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL),
    (0, 0, -0.0, 16777216, true, '中文，測試 ñ 🎉', '中', E'tab\there', '2024-02-29', '2024-03-10 07:00+00',
     '2024-02-29 00:00', '00:00', ARRAY[E'new\nline', '\'], NULL, '1', '1', '\x5c', NULL, NULL, NULL, E'\\',
     NULL, 0.10, '=1'),
    (1, 1.5, 5e-324, 1.17549435e-38, false, E'\\.', E' a\r', E'back\\slash', '1900-01-01', '1900-01-01 00:00+08',
     'epoch', '1 year', ARRAY['NULL'], '{NULL}', 'null', 'null', NULL, NULL, NULL, NULL, ' lead', NULL, 1e20, NULL),
    (2, 2, 2, 2, true, '@cmd', '-5', '+1', '2013-01-01', '2013-01-01 00:00+00', '2013-01-01', '0', '{}', '{}', '-5',
     '-5', '', NULL, NULL, NULL, E'\tx', NULL, -5, NULL);
"""


def opened(database: PostgresServer, **overrides: Any) -> Source:
    settings = {**database.settings, **overrides.pop("settings", {})}
    return open_source("postgres", settings, overrides.pop("secret", database.password), **overrides)


def export(source: Source, sql: str, options: CsvOptions = PLAIN, **values: Any) -> bytes:
    blocks: list[bytes] = []
    source.export_csv(Query("q", sql, values), options, blocks.append)
    return b"".join(blocks)


def cells(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


@contextlib.contextmanager
def a_role(database: PostgresServer, defaults: dict[str, str] | None = None) -> Iterator[str]:
    """A role of the test's own that may read everything, with the same password."""
    name = f"reader_{os.getpid()}_{next(NUMBERS)}"
    database.run(f'CREATE ROLE "{name}" LOGIN PASSWORD %s', (database.password,))
    database.run(f'GRANT pg_read_all_data TO "{name}"')
    for setting, value in (defaults or {}).items():
        database.run(f'ALTER ROLE "{name}" SET {setting} = %s', (value,))
    try:
        yield name
    finally:
        database.run(f'DROP OWNED BY "{name}"')
        database.run(f'DROP ROLE "{name}"')


class Failure:
    """What an action on a thread of its own raises."""

    def __init__(self, action: Any) -> None:
        self._action = action
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._action()
        except BaseException as error:
            self._error = error

    def wait(self) -> BaseException | None:
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        return self._error


def running(database: PostgresServer, name: str) -> None:
    wait_for(lambda: any("pg_sleep" in statement for statement in database.statements_of(name)))


def gone(database: PostgresServer, name: str) -> bool:
    """Wait until no session of this name has a statement running."""
    return bool(wait_for(lambda: not database.statements_of(name)))
