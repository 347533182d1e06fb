"""The files of a run: their names, their bytes, their manifest, and what the log tells of them."""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import EmptyResult, ParametersRefused, QueryFailed, RunError
from tests.support.export_runs import BIG, WINDOWED, Records, body, run
from tests.support.postgres import PostgresServer
from tests.support.s3 import BUCKET, Saboteur, left_behind, refusal


def test_a_run_leaves_a_file_and_a_manifest(client: Any, postgres: PostgresServer) -> None:
    outcome, context = run(Records.of(client, postgres))
    (file,) = outcome.files
    content = body(client, outcome)
    assert content == b"n,word\n1,x1\n2,x2\n3,x3\n"
    assert file["key"] == "files/report_export/J1/1/1/Daily%20flights-20130201.csv"
    assert (file["rows"], file["bytes"], file["sha256"]) == (3, len(content), hashlib.sha256(content).hexdigest())
    assert file["columns"] == [{"name": "n", "type": "integer"}, {"name": "word", "type": "text"}]
    assert (file["window_start"], file["window_end"]) == ("2013-01-31T16:00:00Z", "2013-02-01T16:00:00Z")
    assert (file["query"], file["source_id"], file["source_name"]) == ("main", "S1", "sales")
    manifest = json.loads(client.get_object(Bucket=BUCKET, Key="files/report_export/J1/1/manifest.json")["Body"].read())
    assert manifest["files"] == outcome.files
    assert (outcome.rows, outcome.bytes) == (3, len(content))
    assert outcome.summary == "3 rows in 1 file, 22 bytes"
    assert (context.rows, context.bytes) == (3, len(content))
    assert context.interrupt is None


@pytest.mark.parametrize(
    ("sslmode", "told", "words"),
    [
        ("verify-full", "verified", ", over TLS."),
        ("require", "unverified", "identity not checked."),
        ("disable", "none", ", in clear, without TLS."),
    ],
)
def test_the_manifest_says_whether_the_source_was_read_over_tls(
    client: Any, postgres: PostgresServer, sslmode: str, told: str, words: str
) -> None:
    """Without TLS, what was changed on the way is in the file, and its checksum is that of the changed file."""
    records = Records.of(client, postgres)
    assert records.source is not None
    records.source = {**records.source, "settings": postgres.safe_settings | {"sslmode": sslmode}}
    outcome, context = run(records)
    assert [file["source_tls"] for file in outcome.files] == [told]
    manifest = json.loads(client.get_object(Bucket=BUCKET, Key="files/report_export/J1/1/manifest.json")["Body"].read())
    assert manifest["files"] == outcome.files
    assert any(line.startswith("Connected to") and line.endswith(words) for _, line in context.lines)


def test_the_manifest_is_the_last_object_of_a_run(client: Any, postgres: PostgresServer) -> None:
    watched = Saboteur(client, "nothing", refusal("nothing"))
    two = [{"name": name, "sql": "SELECT 1 AS a"} for name in ("a", "b")]
    run(Records.of(watched, postgres, queries=two))
    assert watched.calls == ["put_object"] * 3
    assert watched.keys[-1].endswith("/manifest.json")


def test_gzip_packs_the_same_file(client: Any, postgres: PostgresServer) -> None:
    outcome, _ = run(Records.of(client, postgres), spec={"report_id": "R1", "compression": "gzip"})
    assert gzip.decompress(body(client, outcome)) == b"n,word\n1,x1\n2,x2\n3,x3\n"
    assert outcome.files[0]["file_name"] == "Daily flights-20130201.csv.gz"
    assert (outcome.files[0]["compression"], outcome.files[0]["uncompressed_bytes"]) == ("gzip", 22)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({}, "Daily flights-20130201.csv"),
        ({"file_name": "a"}, "a.csv"),
        ({"file_name": "a.csv"}, "a.csv"),
        ({"file_name": "a.csv", "compression": "gzip"}, "a.csv.gz"),
        ({"file_name": "a.csv.gz"}, "a.csv"),  # it is not packed, so it does not say so
        (
            {"file_name": "{task}-{window_start:%Y-%m-%d}.csv.gz", "compression": "gzip"},
            "Daily flights-2013-02-01.csv.gz",
        ),
        ({"file_name": "航班 {scheduled_for:%H%M}"}, "航班 0200.csv"),
        ({"file_name": "{job_id}.v2"}, "J1.v2.csv"),
    ],
)
def test_a_file_is_named_by_its_template(
    client: Any, postgres: PostgresServer, spec: dict[str, Any], name: str
) -> None:
    outcome, _ = run(Records.of(client, postgres), spec={"report_id": "R1", **spec})
    assert outcome.files[0]["file_name"] == name


def test_without_a_window_the_slot_names_the_file(client: Any, postgres: PostgresServer) -> None:
    outcome, _ = run(Records.of(client, postgres), window_start=None, window_end=None)
    assert outcome.files[0]["file_name"] == "Daily flights-20130202-020000.csv"


def test_a_window_in_the_name_that_the_job_lacks_is_told(client: Any, postgres: PostgresServer) -> None:
    spec = {"report_id": "R1", "file_name": "{window_start}"}
    with pytest.raises(RunError, match="cannot be named"):
        run(Records.of(client, postgres), window_start=None, window_end=None, spec=spec)


def test_each_query_becomes_a_file(client: Any, postgres: PostgresServer) -> None:
    two = [{"name": "first", "sql": "SELECT 1 AS a"}, {"name": "second", "sql": "SELECT 2 AS b"}]
    outcome, _ = run(Records.of(client, postgres, queries=two))
    assert [file["file_name"] for file in outcome.files] == [
        "Daily flights-20130201-first.csv",
        "Daily flights-20130201-second.csv",
    ]
    assert [body(client, outcome, number) for number in (0, 1)] == [b"a\n1\n", b"b\n2\n"]
    assert outcome.summary == "2 rows in 2 files, 8 bytes"


def test_csv_options_reach_the_file(client: Any, postgres: PostgresServer) -> None:
    csv = {"delimiter": ";", "line_end": "crlf", "bom": True, "null_text": "NULL", "formula_guard": False}
    queries = [{"name": "q", "sql": "SELECT '=1' AS a, NULL AS b"}]
    outcome, _ = run(Records.of(client, postgres, queries=queries), spec={"report_id": "R1", "csv": csv})
    assert body(client, outcome) == b"\xef\xbb\xbfa;b\r\n=1;NULL\r\n"


def test_formulas_are_guarded_unless_the_spec_says_otherwise(client: Any, postgres: PostgresServer) -> None:
    queries = [{"name": "q", "sql": "SELECT '=1' AS a"}]
    outcome, _ = run(Records.of(client, postgres, queries=queries))
    assert body(client, outcome) == b"a\n'=1\n"


def test_a_sqlite_source_exports_too(client: Any, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE sale (at TEXT, price REAL)")
        connection.executemany(
            "INSERT INTO sale VALUES (?, ?)", [("2013-01-31 15:59:59", 1), ("2013-01-31 16:00:00", 2)]
        )
        connection.commit()
    report = {
        "name": "Sales",
        "source_id": "S1",
        "queries": [{"name": "q", "sql": "SELECT * FROM sale WHERE at >= :window_start AND at < :window_end"}],
    }
    source = {"name": "shop", "kind": "sqlite", "settings": {"path": "shop.db"}}
    outcome, _ = run(Records(client, report, source, data_folder=tmp_path))
    assert body(client, outcome) == b"at,price\n2013-01-31 16:00:00,2.0\n"


def test_the_window_reaches_the_query(client: Any, postgres: PostgresServer) -> None:
    sql = "SELECT :window_start AS a, :window_end AS b, :scheduled_for AS c, :window_start_date AS d"
    outcome, _ = run(Records.of(client, postgres, queries=[{"name": "q", "sql": sql}]))
    expected = b"a,b,c,d\n2013-01-31 16:00:00+00,2013-02-01 16:00:00+00,2013-02-01 18:00:00+00,2013-02-01\n"
    assert body(client, outcome) == expected


def test_a_run_without_the_window_that_it_needs_says_so(client: Any, postgres: PostgresServer) -> None:
    with pytest.raises(QueryFailed, match="'q' needs a window; only one gives :window_start_date") as refused:
        run(Records.of(client, postgres, queries=WINDOWED), window_start=None, window_end=None)
    assert refused.value.field == "window"


def test_the_job_overrides_the_task_and_the_task_the_report(client: Any, postgres: PostgresServer) -> None:
    records = Records.of(client, postgres)
    spec = {"report_id": "R1", "parameters": {"top": 2}}
    assert run(records)[0].rows == 3
    assert run(records, spec=spec)[0].rows == 2
    assert run(records, spec=spec, parameters={"top": "1"})[0].rows == 1


@pytest.mark.parametrize("given", [{"top": "many"}, {"bottom": 1}, {"window_start": "2013-01-01"}])
def test_a_wrong_parameter_is_named(client: Any, postgres: PostgresServer, given: dict[str, Any]) -> None:
    with pytest.raises(ParametersRefused) as refused:
        run(Records.of(client, postgres), parameters=given)
    assert refused.value.field == f"parameters.{next(iter(given))}"
    assert refused.value.permanent


def test_an_empty_result_is_published_as_a_header(client: Any, postgres: PostgresServer) -> None:
    outcome, _ = run(Records.of(client, postgres), parameters={"top": 0})
    assert (outcome.rows, body(client, outcome)) == (0, b"n,word\n")


def test_an_empty_result_fails_where_rows_are_expected(client: Any, postgres: PostgresServer) -> None:
    with pytest.raises(EmptyResult) as failed:
        run(Records.of(client, postgres), parameters={"top": 0}, spec={"report_id": "R1", "if_empty": "fail"})
    assert not failed.value.permanent
    assert left_behind(client) == []


def test_the_log_tells_the_run_in_words(client: Any, postgres: PostgresServer) -> None:
    _, context = run(Records.of(client, postgres))
    said = [message for _, message in context.lines]
    assert said[0] == "Connecting to source 'sales' (postgres)."
    assert said[1].startswith("Connected to PostgreSQL 1")
    assert said[2] == "Query 'main' begun: 2 columns."
    assert said[3].startswith("File Daily flights-20130201.csv finished: 3 rows, 22 bytes in ")


def test_a_long_export_tells_how_far_it_is(
    client: Any, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.kinds.report_export.export.LINE_BYTES", 5_000_000)
    _, context = run(Records.of(client, postgres, queries=BIG))
    assert sum("MB so far" in message for _, message in context.lines) >= 2
