"""The export kind, from a report to files in S3."""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import (
    EmptyResult,
    FileNotWritten,
    Invalid,
    ParametersRefused,
    PreconditionMissing,
    QueryFailed,
    ReportNotFound,
    RunError,
    SourceRefused,
    StatementTimedOut,
    Stopped,
)
from chalicelib.kinds.protocol import Outcome
from chalicelib.kinds.report_export.kind import Ports, ReportExport
from tests.support.postgres import PostgresServer
from tests.support.runs import FakeRun, Records, facts
from tests.support.s3 import BUCKET, Saboteur, left_behind, refusal


def run(records: Records, **overrides: Any) -> tuple[Outcome, FakeRun]:
    context = FakeRun(facts(**overrides))
    return records.export().run(context), context


def body(client: Any, outcome: Outcome, number: int = 0) -> bytes:
    content: bytes = client.get_object(Bucket=BUCKET, Key=outcome.files[number]["key"])["Body"].read()
    return content


# --- the spec ---------------------------------------------------------------------------------------------------------


def check(spec: dict[str, Any], *, has_window: bool = True) -> dict[str, Any]:
    never = Ports(load_report=_never, load_source=_never, load_secret=_never, s3=lambda: None, bucket="")
    return ReportExport(never).check_spec(spec, has_window=has_window, timezone="Asia/Shanghai")


def _never(record_id: str) -> Any:
    raise AssertionError


def test_the_canonical_spec_names_every_default() -> None:
    assert check({"report_id": "R1"}) == {
        "report_id": "R1",
        "format": "csv",
        "compression": "none",
        "file_name": "",
        "csv": {
            "delimiter": ",",
            "header": True,
            "line_end": "lf",
            "bom": False,
            "null_text": "",
            "formula_guard": True,
        },
        "parameters": {},
        "if_empty": "publish",
    }


def test_a_canonical_spec_is_accepted_again() -> None:
    once = check({"report_id": "R1", "compression": "gzip", "file_name": "a-{window_start:%Y%m%d}.csv.gz"})
    assert check(once) == once


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.report_id"),
        ({"report_id": ""}, "spec.report_id"),
        ({"report_id": "a/b"}, "spec.report_id"),
        ({"report_id": "R1", "format": "xlsx"}, "spec.format"),
        ({"report_id": "R1", "compression": "zip"}, "spec.compression"),
        ({"report_id": "R1", "csv": {"delimiter": "ab"}}, "spec.csv.delimiter"),
        ({"report_id": "R1", "csv": {"line_end": "cr"}}, "spec.csv.line_end"),
        ({"report_id": "R1", "parameters": []}, "spec.parameters"),
        ({"report_id": "R1", "if_empty": "perhaps"}, "spec.if_empty"),
        ({"report_id": "R1", "colour": "red"}, "spec.colour"),
        ({"report_id": "R1", "file_name": "{nonsense}"}, "spec.file_name"),
        ({"report_id": "R1", "file_name": "a/b"}, "spec.file_name"),
    ],
)
def test_a_wrong_spec_names_its_field(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(spec)
    assert [problem.field for problem in refused.value.problems] == [field]


def test_a_name_from_the_window_needs_a_window() -> None:
    assert check({"report_id": "R1", "file_name": "{window_start:%Y}"})["file_name"] == "{window_start:%Y}"
    with pytest.raises(Invalid) as refused:
        check({"report_id": "R1", "file_name": "{window_start:%Y}"}, has_window=False)
    assert refused.value.field == "spec.file_name"


NEEDY = {
    "parameters": [{"name": "top", "type": "integer", "required": True}, {"name": "day", "type": "date"}],
    "queries": [{"name": "q", "sql": "SELECT 1 AS a"}],
}
WINDOWED = [{"name": "q", "sql": "SELECT ':window_end' AS a WHERE :window_start_date < now()"}]


def fields(records: Records, parameters: dict[str, Any], in_spec: dict[str, Any], **how: bool) -> list[str]:
    """What the kind says of a task's parameters."""
    spec = {"report_id": "R1", "parameters": in_spec}
    try:
        records.export().check_parameters(spec, parameters, **({"has_window": True, "complete": True} | how))
    except Invalid as error:
        return [problem.field for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("parameters", "in_spec", "how", "found"),
    [
        ({"top": 1}, {}, {}, []),
        ({}, {"top": "1", "day": "2013-01-31"}, {}, []),
        ({}, {}, {}, ["parameters.top"]),
        ({}, {}, {"complete": False}, []),
        ({"top": "x"}, {}, {"complete": False}, ["parameters.top"]),
        ({"bottom": 1}, {"top": 1}, {}, ["parameters.bottom"]),
        ({"top": 1}, {"top": "x", "left": 1}, {}, ["spec.parameters.left", "spec.parameters.top"]),
        ({"top": 1, "window_start": "2013-01-01"}, {}, {}, ["parameters.window_start"]),
        ({"top": 1}, {}, {"has_window": False}, []),
    ],
)
def test_wrong_parameters_are_known_before_a_run(
    postgres: PostgresServer, parameters: Any, in_spec: Any, how: Any, found: list[str]
) -> None:
    assert fields(Records.of(None, postgres, **NEEDY), parameters, in_spec, **how) == found


def test_a_report_that_needs_a_window_is_known_before_a_run(postgres: PostgresServer) -> None:
    records = Records.of(None, postgres, queries=WINDOWED)
    assert fields(records, {}, {}) == []
    assert fields(records, {}, {}, has_window=False, complete=False) == ["window"]


def test_a_report_that_does_not_exist_is_known_before_a_run() -> None:
    assert fields(Records(None), {}, {}) == ["spec.report_id"]


# --- files ------------------------------------------------------------------------------------------------------------


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


# --- parameters -------------------------------------------------------------------------------------------------------


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


# --- empty results ----------------------------------------------------------------------------------------------------


def test_an_empty_result_is_published_as_a_header(client: Any, postgres: PostgresServer) -> None:
    outcome, _ = run(Records.of(client, postgres), parameters={"top": 0})
    assert (outcome.rows, body(client, outcome)) == (0, b"n,word\n")


def test_an_empty_result_fails_where_rows_are_expected(client: Any, postgres: PostgresServer) -> None:
    with pytest.raises(EmptyResult) as failed:
        run(Records.of(client, postgres), parameters={"top": 0}, spec={"report_id": "R1", "if_empty": "fail"})
    assert not failed.value.permanent
    assert left_behind(client) == []


# --- what is missing --------------------------------------------------------------------------------------------------


def test_a_missing_report_blocks(client: Any, postgres: PostgresServer) -> None:
    records = Records.of(client, postgres)
    records.report = None
    with pytest.raises(PreconditionMissing, match="report R1") as blocked:
        run(records)
    assert blocked.value.reason == "no_report"


def test_a_missing_source_blocks(client: Any, postgres: PostgresServer) -> None:
    records = Records.of(client, postgres)
    records.source = None
    with pytest.raises(PreconditionMissing, match="source S1") as blocked:
        run(records)
    assert blocked.value.reason == "no_source"


def test_a_port_may_also_say_not_found(client: Any) -> None:
    def nothing(record_id: str) -> Any:
        raise ReportNotFound()

    ports = Ports(load_report=nothing, load_source=nothing, load_secret=nothing, s3=lambda: client, bucket=BUCKET)
    with pytest.raises(PreconditionMissing):
        ReportExport(ports).run(FakeRun(facts()))


def test_a_source_that_this_stage_cannot_open_blocks(client: Any, postgres: PostgresServer) -> None:
    records = Records.of(client, postgres)
    records.source = {"name": "shop", "kind": "sqlite", "settings": {"path": "shop.db"}}
    with pytest.raises(PreconditionMissing, match="no data folder") as blocked:
        run(records)
    assert blocked.value.reason == "no_source"


# --- failures leave nothing -------------------------------------------------------------------------------------------

BIG = [{"name": "big", "sql": "SELECT n, repeat(md5(n::text), 9) AS word FROM generate_series(1, 60000) AS n"}]
TWO = [{"name": "one", "sql": "SELECT 1 AS a"}, *BIG]


@pytest.mark.parametrize(
    ("queries", "operation", "at"),
    [
        (BIG, "create_multipart_upload", 1),
        (BIG, "upload_part", 1),
        (BIG, "upload_part", 3),
        (BIG, "complete_multipart_upload", 1),
        (TWO, "upload_part", 2),  # the first file lies there whole
        (TWO, "put_object", 2),  # the manifest
        (BIG, "put_object", 1),
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_a_failed_call_to_s3_leaves_nothing(
    client: Any, postgres: PostgresServer, queries: Any, operation: str, at: int, after: bool
) -> None:
    sabotaged = Saboteur(client, operation, refusal(operation), at=at, after=after)
    with pytest.raises(FileNotWritten):
        run(Records.of(sabotaged, postgres, queries=queries))
    assert left_behind(client) == []


def test_a_query_that_fails_late_leaves_nothing(client: Any, postgres: PostgresServer) -> None:
    late = {
        "name": "late",
        "sql": "SELECT 1 / (90000 - n) AS a, repeat('x', 99) AS b FROM generate_series(1, 99999) AS n",
    }
    with pytest.raises(QueryFailed, match="division by zero"):
        run(Records.of(client, postgres, queries=[*BIG, late]))
    assert left_behind(client) == []


def test_what_cannot_be_removed_now_is_told_and_does_not_hide_the_cause(client: Any, postgres: PostgresServer) -> None:
    sabotaged = Saboteur(client, "delete_object", refusal("DeleteObject"))
    context = FakeRun(facts())
    with pytest.raises(QueryFailed):
        Records.of(sabotaged, postgres, queries=[{"name": "q", "sql": "SELECT 1 / 0 AS a"}]).export().run(context)
    assert "could not be removed yet" in context.text


def test_a_statement_over_its_limit_ends(client: Any, postgres: PostgresServer) -> None:
    with pytest.raises(StatementTimedOut):
        run(
            Records.of(client, postgres, queries=[{"name": "q", "sql": "SELECT pg_sleep(20) AS a"}]),
            statement_timeout_seconds=1,
        )


def test_a_wrong_password_is_no_secret_in_the_log(client: Any, postgres: PostgresServer) -> None:
    records = Records.of(client, postgres)
    records.secret = "hunter2secret"
    context = FakeRun(facts())
    with pytest.raises(SourceRefused) as refused:
        records.export().run(context)
    assert "hunter2secret" not in context.text + refused.value.message


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_a_cancel_ends_the_statement_within_two_seconds(client: Any, postgres: PostgresServer) -> None:
    context = FakeRun(facts(job_id="J-cancel"))
    records = Records.of(client, postgres, queries=[*BIG, {"name": "slow", "sql": "SELECT pg_sleep(60) AS a"}])
    ended: list[BaseException] = []

    def work() -> None:
        try:
            records.export().run(context)
        except RunError as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: any("pg_sleep" in statement for statement in postgres.statements_of("carillon J-cancel")), 20)
    asked = time.monotonic()
    context.stop()
    until(lambda: not postgres.statements_of("carillon J-cancel"), 2)
    assert time.monotonic() - asked < 2
    thread.join(10)
    assert [type(error) for error in ended] == [Stopped]
    assert left_behind(client) == []
    assert context.interrupt is None


def test_a_cancel_while_rows_flow_leaves_nothing(client: Any, postgres: PostgresServer) -> None:
    context = FakeRun(facts())
    context.progress = lambda **_: context.stop()  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        Records.of(client, postgres, queries=BIG).export().run(context)
    assert left_behind(client) == []


def test_a_run_that_was_stopped_before_it_began_touches_nothing(client: Any, postgres: PostgresServer) -> None:
    context = FakeRun(facts(), stopping=True)
    with pytest.raises(Stopped):
        Records.of(client, postgres).export().run(context)
    assert left_behind(client) == []


def until(true: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- the log ----------------------------------------------------------------------------------------------------------


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
