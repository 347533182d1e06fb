"""A run that is blocked, fails or is stopped says why, and leaves nothing in the bucket."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from chalicelib.errors import (
    FileNotWritten,
    PreconditionMissing,
    QueryFailed,
    ReportNotFound,
    RunError,
    SourceRefused,
    StatementTimedOut,
    Stopped,
)
from chalicelib.kinds.report_export.kind import Ports, ReportExport
from tests.support.export_runs import BIG, FakeRun, Records, facts, run
from tests.support.postgres import PostgresServer
from tests.support.s3 import BUCKET, Saboteur, left_behind, refusal
from tests.support.waiting import PATIENCE_SECONDS, slowness, wait_for


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


def test_a_cancel_ends_the_statement_within_two_seconds(client: Any, postgres: PostgresServer) -> None:
    context = FakeRun(facts(job_id="J-cancel"))
    records = Records.of(client, postgres, queries=[*BIG, {"name": "slow", "sql": "SELECT pg_sleep(600) AS a"}])
    ended: list[BaseException] = []

    def work() -> None:
        try:
            records.export().run(context)
        except RunError as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: any("pg_sleep" in statement for statement in postgres.statements_of("carillon J-cancel")))
    asked = time.monotonic()
    context.stop()
    wait_for(lambda: not postgres.statements_of("carillon J-cancel"))
    assert time.monotonic() - asked < 2 * slowness()
    thread.join(PATIENCE_SECONDS)
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
