"""The record of one job as the API tells it, of an export that really ran."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from chalicelib.clock import Clock
from chalicelib.kinds.report_export.definition import SQL_LIMIT, SQL_OF_ALL, definition_of
from chalicelib.kinds.report_export.spec import NamedQuery, Report, ReportExportSpec
from chalicelib.queue.claim import Worker
from chalicelib.worker.worker import handle
from tests.support.api_records import Make
from tests.support.http import Http
from tests.support.world import World

SQL = "SELECT id, at, customer, amount FROM orders WHERE id < :top ORDER BY id"
BODY: dict[str, Any] = {
    "queries": [{"name": "orders", "sql": SQL}],
    "parameters": [{"name": "top", "type": "integer", "default": 5}],
}


def work(world: World) -> None:
    for message in world.messages():
        handle(json.dumps(message), worker=Worker("worker-1", datetime.now(UTC) + timedelta(minutes=10), Clock()))


def test_the_sql_that_ran_stays_in_the_record_when_the_report_is_edited(admin: Http, make: Make, world: World) -> None:
    report = make.report(**BODY)
    spec = {"report_id": report["report_id"], "csv": {"delimiter": ";"}, "if_empty": "fail"}
    job = make.job(spec=spec)
    path = f"/jobs/{job['job_id']}"
    before = admin.get(path).json["definition"]
    assert (before["frozen"], before["document"]["queries"][0]["sql"]) == (False, SQL)
    work(world)
    edited = BODY | {"queries": [{"name": "orders", "sql": "SELECT 1"}], "parameters": []}
    admin.put(f"/reports/{report['report_id']}", make.report_body(source_id=report["source_id"], **edited))
    found = admin.get(path).json
    assert found["status"] == "succeeded", found["error"]
    assert (found["definition"]["frozen"], found["definition"]["run_no"]) == (True, 1)
    document = found["definition"]["document"]
    assert document["report"] == {"report_id": report["report_id"], "name": "Orders", "revision": 1}
    assert (document["source"]["name"], document["source"]["kind"]) == ("Shop", "sqlite")
    assert document["queries"] == [
        {
            "name": "orders",
            "sql": SQL,
            "cut": False,
            "characters": len(SQL),
            "sha256": hashlib.sha256(SQL.encode()).hexdigest(),
        }
    ]
    assert (document["csv"]["delimiter"], document["if_empty"], document["parameters"]["top"]) == (";", "fail", 5)


def test_a_run_shows_its_bytes_in_the_bucket_and_its_cost_in_dollars(admin: Http, make: Make, world: World) -> None:
    job = make.job()
    work(world)
    found = admin.get(f"/jobs/{job['job_id']}").json
    cost, stored = found["cost"], sum(len(content) for key, content in world.objects().items() if key.endswith("csv"))
    assert (cost["s3_bytes"], cost["s3_byte_days"]) == (stored, 90 * stored)
    # The file and its manifest at least.
    assert cost["s3_requests"] >= 2
    assert Decimal(cost["usd"]) > 0
    assert found["runs"][0]["cost"] == cost
    assert admin.get(f"/jobs/{job['job_id']}/runs").json["items"] == found["runs"]


def test_the_definition_of_an_unknown_run_is_not_found(admin: Http, make: Make) -> None:
    path = f"/jobs/{make.job()['job_id']}"
    missing, wrong = admin.get(path, run=1), admin.get(path, run=0)
    assert (missing.status, missing.json["Code"]) == (404, "RunNotFound")
    assert (wrong.status, wrong.fields) == (422, ["run"])


def test_long_sql_is_cut_visibly_and_recorded_with_its_hash() -> None:
    sql = "SELECT '" + "x" * 90_000 + "'"
    spec = ReportExportSpec(report_id="R1")
    for count in (1, 50):
        queries = tuple(NamedQuery(name=f"q{number}", sql=sql) for number in range(count))
        document = definition_of(spec, Report(name="R", source_id="S", queries=queries), None)
        first = document["queries"][0]
        assert first["sql"] == sql[: min(SQL_LIMIT, SQL_OF_ALL // count)] + " …"
        assert (first["cut"], first["characters"]) == (True, len(sql))
        assert first["sha256"] == hashlib.sha256(sql.encode()).hexdigest()
        assert len(json.dumps(document)) < 100_000
