"""Makes formulas harmless inside the database, which is cheaper than any pass over the bytes in Python."""

# ruff: noqa: S608 - the query is the report's own text, closed by sources/sql.py; the driver quotes the names

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chalicelib.sources.csv_options import ASCII_FORMULA_STARTS, WIDE_FORMULA_STARTS
from chalicelib.sources.protocol import Column

# OIDs of types: bpchar pads its values; xml and "char" are not in the category of texts on every server.
BPCHAR = 1042
UNCATEGORISED_TEXTS = (142, 18)
_CODES = ",".join(str(ord(sign)) for sign in ASCII_FORMULA_STARTS)
# Server encodings whose bytes are those of UTF-8, and the others that have full-width signs.
_UTF8 = frozenset({"UTF8", "SQL_ASCII"})
_EAST_ASIAN = frozenset({"EUC_CN", "EUC_JP", "EUC_JIS_2004", "EUC_KR", "EUC_TW", "MULE_INTERNAL"})


@dataclass(frozen=True)
class Described:
    columns: tuple[Column, ...]
    oids: tuple[int, ...]
    text_columns: frozenset[int]  # positions of the columns a formula can stand in


def guarded(sql: str, described: Described, cursor: Any, *, fenced: bool) -> str:
    """The query with formulas made harmless in its text columns.

    `fenced` puts `OFFSET 0` between the two levels: without it the planner merges them and computes a column as often
    as the guard mentions it. The fence costs a tenth of the time, and plain columns do not need it.
    """
    from psycopg2.extensions import quote_ident

    encoding = cursor.connection.get_parameter_status("server_encoding")
    wanted = []
    for position, column in enumerate(described.columns):
        name = quote_ident(column.name, cursor)
        here = f"q.{name}"
        if position not in described.text_columns:
            wanted.append(here)
        elif described.oids[position] == BPCHAR:
            # A cast to text cuts off the padding; concat() and bpchar keep it.
            wanted.append(
                _guard(name, f"{here}::text", f"pg_catalog.concat('''', {here})::pg_catalog.bpchar", here, encoding)
            )
        else:
            wanted.append(_guard(name, f"{here}::text", f"'''' || {here}::text", f"{here}::text", encoding))
    inner = f"(SELECT * FROM (\n{sql}\n) AS q OFFSET 0)" if fenced else f"(\n{sql}\n)"
    return f"SELECT {', '.join(wanted)} FROM {inner} AS q"


def _guard(name: str, text: str, escaped: str, untouched: str, encoding: str) -> str:
    """Cheapest of the expressions measured in the server's own CPU time. On four short text columns that begin with
    letters a COPY takes 1.1x of a plain one, which is what any list of columns takes; `ascii() IN` alone takes 1.3x, a
    regular expression 1.7x, left() 1.8x. On columns that begin with digits it takes 1.4x instead of 1.7x.

    The starts of formulas sort before 'A', so one memcmp excludes all that begins with a letter. Two more exclude
    digits, which sort between '-' and '='. Full-width signs cost each text one more.
    """
    ascii_sign = (
        f"{text} OPERATOR(pg_catalog.~<~) 'A' "
        f"AND ({text} OPERATOR(pg_catalog.~<~) '.' OR {text} OPERATOR(pg_catalog.~>=~) '=') "
        f"AND pg_catalog.ascii({text}) IN ({_CODES})"
    )
    return f"CASE WHEN {ascii_sign}{_or_wide(text, encoding)} THEN {escaped} ELSE {untouched} END AS {name}"


def _or_wide(text: str, encoding: str) -> str:
    """The condition that goes on for a full-width sign; nothing where the server's encoding has none."""
    if encoding in _UTF8:
        # From the sign to the character behind it, byte by byte: no function is called.
        begin_with = " OR ".join(
            f"({text} OPERATOR(pg_catalog.~>=~) '{sign}' AND {text} OPERATOR(pg_catalog.~<~) '{chr(ord(sign) + 1)}')"
            for sign in WIDE_FORMULA_STARTS
        )
        return f" OR ({text} OPERATOR(pg_catalog.~>=~) '{min(WIDE_FORMULA_STARTS)}' AND ({begin_with}))"
    if encoding in _EAST_ASIAN:
        signs = ", ".join(f"'\\x{sign.encode().hex()}'::pg_catalog.bytea" for sign in WIDE_FORMULA_STARTS)
        first = f"pg_catalog.convert_to(pg_catalog.left({text}, 1), 'UTF8')"
        return f" OR ({text} OPERATOR(pg_catalog.~>~) 'z' AND {first} IN ({signs}))"
    return ""
