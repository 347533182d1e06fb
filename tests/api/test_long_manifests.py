"""A run whose manifest would not fit its record: the manifest stays in the bucket, and everything else is as ever."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.clock import Clock
from chalicelib.core.item_size import item_bytes
from chalicelib.core.record_bounds import MANIFESTS_BYTES
from chalicelib.kinds.protocol import Outcome
from chalicelib.queue.claim import Worker
from chalicelib.store import jobs, runs
from chalicelib.worker.worker import handle
from tests.support.api_records import Make
from tests.support.exact_sizes import exact_sizes
from tests.support.http import Http
from tests.support.world import World

QUERIES, COLUMNS = 7, 800


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact_sizes():
        yield


@pytest.fixture
def wide(admin: Http, make: Make, world: World) -> dict[str, Any]:
    """A job that exported 7 queries of 800 columns, whose names are as long as those of PostgreSQL may be."""
    path = world.data_folder / "wide.db"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE wide ({', '.join(f'column_{n:056}' for n in range(COLUMNS))})")
    connection.close()
    source = make.source(settings={"path": "wide.db"})
    queries = [{"name": f"q{number}", "sql": "SELECT * FROM wide"} for number in range(QUERIES)]
    report = make.report(source_id=source["source_id"], queries=queries)
    job = make.job(spec={"report_id": report["report_id"]})
    for message in world.messages():
        handle(json.dumps(message), worker=Worker("worker-1", datetime.now(UTC) + timedelta(minutes=10), Clock()))
    found = admin.get(f"/jobs/{job['job_id']}").json
    assert found["status"] == "succeeded", found
    return dict(found)


def test_a_run_of_many_columns_ends_and_its_record_stays_small(wide: dict[str, Any]) -> None:
    job, run = jobs.get(wide["job_id"]), runs.find(wide["job_id"], 1)
    assert run is not None
    assert job.files == run.files
    assert (job.files["count"], job.rows) == (QUERIES, 0)
    assert all(item_bytes(record.serialize()) < 32_000 for record in (job, run))


def test_the_record_names_the_manifest_and_its_hash(wide: dict[str, Any], world: World) -> None:
    held = jobs.get(wide["job_id"]).files
    body = world.objects()[held["manifest"]]
    assert (hashlib.sha256(body).hexdigest(), len(body)) == (held["sha256"], held["bytes"])


def test_the_files_are_listed_with_all_their_columns(admin: Http, wide: dict[str, Any]) -> None:
    items = admin.get(f"/jobs/{wide['job_id']}/files").json["items"]
    assert [(file["query"], len(file["columns"])) for file in items] == [(f"q{n}", COLUMNS) for n in range(QUERIES)]
    assert [{**file, "columns": []} for file in items] == wide["files"]


def test_the_files_are_downloaded(admin: Http, wide: dict[str, Any]) -> None:
    links = admin.get(f"/jobs/{wide['job_id']}/download").json["items"]
    assert [link["sha256"] for link in links] == [file["sha256"] for file in wide["files"]]


def test_a_manifest_larger_than_an_answer_comes_without_the_columns(
    admin: Http, wide: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.jobs.files.ANSWER_BYTES", 100_000)
    assert admin.get(f"/jobs/{wide['job_id']}/files").json["items"] == wide["files"]


def test_every_action_on_such_a_job_answers(admin: Http, wide: dict[str, Any], world: World) -> None:
    path = f"/jobs/{wide['job_id']}"
    assert admin.post(f"{path}/rerun").json["files"] == wide["files"]
    assert admin.patch(path, {"priority": 5}).json["files"] == wide["files"]
    assert admin.post(f"{path}/cancel").json["files"] == wide["files"]
    assert admin.delete(path).status == 204
    assert not any(wide["job_id"] in key for key in world.objects())


def test_a_manifest_that_expired_before_its_record_says_so(admin: Http, wide: dict[str, Any], world: World) -> None:
    key = jobs.get(wide["job_id"]).files["manifest"]
    world.client("s3").delete_object(Bucket=world.bucket, Key=key)
    for part in ("files", "download"):
        reply = admin.get(f"/jobs/{wide['job_id']}/{part}")
        assert (reply.status, reply.json["Code"]) == (404, "FileNotAvailable")
    assert admin.get(f"/jobs/{wide['job_id']}").json["files"] == []


def test_a_manifest_that_is_not_what_the_run_wrote_is_not_shown(
    admin: Http, wide: dict[str, Any], world: World
) -> None:
    key = jobs.get(wide["job_id"]).files["manifest"]
    world.client("s3").put_object(Bucket=world.bucket, Key=key, Body=b'{"files": []}')
    assert admin.get(f"/jobs/{wide['job_id']}/files").status == 503


def test_a_kind_that_leaves_a_long_manifest_nowhere_fails_its_run() -> None:
    files = [{"columns": "x" * MANIFESTS_BYTES}]
    with pytest.raises(ValueError, match="bucket"):
        Outcome(files)
    assert Outcome([{"columns": ""}]).held == [{"columns": ""}]
