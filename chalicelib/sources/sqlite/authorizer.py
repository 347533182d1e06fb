"""What a query may not touch in SQLite: what shows or changes the process that reads the file, and not the file's rows.

A file that is opened read-only keeps a query from writing, and not from these. SQLite asks while it compiles a
statement (https://sqlite.org/c3ref/set_authorizer.html), so a row costs nothing.
"""

from __future__ import annotations

import sqlite3

# The temporary view by which the source finds the types of columns; the only name whose columns are asked for.
DESCRIBED = "carillon_described"

# Virtual tables without a file behind them: each pragma, and what shows pages and compiled statements.
_PRAGMA_TABLES = "pragma_"
_TABLES = frozenset(
    ["dbstat", "sqlite_dbpage", "sqlite_stmt", "bytecode", "tables_used", "completion", "fsdir", "sqlite_dbdata"]
)
# `fts3_tokenizer` gives addresses in memory away and takes them; the others reach files.
_FUNCTIONS = frozenset(["fts3_tokenizer", "load_extension", "readfile", "writefile", "edit", "lsmode", "fsdir"])
# Full-text search asks it to see whether another connection wrote.
_PRAGMAS = frozenset(["data_version"])
_NEVER = frozenset([sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH])


def authorize(action: int, first: str | None, second: str | None, database: str | None, source: str | None) -> int:
    """For `Connection.set_authorizer`: SQLITE_OK or SQLITE_DENY."""
    return sqlite3.SQLITE_DENY if _refused(action, first or "", second or "") else sqlite3.SQLITE_OK


def _refused(action: int, first: str, second: str) -> bool:
    if action == sqlite3.SQLITE_READ:
        table = first.lower()
        return table.startswith(_PRAGMA_TABLES) or table in _TABLES
    if action == sqlite3.SQLITE_FUNCTION:
        return second.lower() in _FUNCTIONS
    if action == sqlite3.SQLITE_PRAGMA:
        return first.lower() not in _PRAGMAS and (first.lower(), second) != ("table_info", DESCRIBED)
    return action in _NEVER
