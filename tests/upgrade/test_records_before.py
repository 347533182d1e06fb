"""Records that an earlier day's code wrote are read and listed by today's: nothing is left behind."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.aws import secrets
from chalicelib.core.lifecycle import OPEN
from tests.support.http import Http
from tests.support.records_before import (
    MODELS,
    Before,
    comparable,
    dump,
    items,
    job_id,
    model_of,
    restored,
    rows,
)
from tests.support.simulator import Stage
from tests.support.world import STAGE


@pytest.fixture
def before(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Before:
    return restored(stage, monkeypatch)


# --- read -------------------------------------------------------------------------------------------------------------


def test_every_item_is_a_record_that_is_written_back_as_it_was(before: Before) -> None:
    for table in MODELS:
        assert items(table), table
        for item in items(table):
            model = model_of(table, item)
            columns = {column.attr_name: column for column in model.get_attributes().values()}
            keys = [columns[name] for name in (model._hash_keyname, model._range_keyname) if name is not None]
            read = model.get(*(key.deserialize(key.get_value(item[key.attr_name])) for key in keys))
            written = read.serialize()
            assert comparable({name: written.get(name) for name in item}) == comparable(item), table
            # What a column that is absent stands for may be written out.
            assert all(columns[name].default is not None for name in written.keys() - item.keys()), table


# Indexes that no list reads any more: the timeline has what they had, and the deployer takes them away one by one.
GONE = {"jobs": {"by_kind", "by_pool", "by_trigger"}}


def test_each_key_and_index_that_there_was_is_there_under_its_name(before: Before) -> None:
    for table, was in dump()["declared"].items():
        now = before.world.client("dynamodb").describe_table(TableName=f"{STAGE}-{table}")["Table"]
        assert now["KeySchema"] == was["KeySchema"]
        gone = GONE.get(table, set())
        key_columns = {key["AttributeName"] for name in gone for key in was["indexes"][name]["KeySchema"]}
        kept = [each for each in was["AttributeDefinitions"] if each["AttributeName"] not in key_columns - {"job_id"}]
        assert all(each in now["AttributeDefinitions"] for each in kept)
        indexes = {each["IndexName"]: each for each in now.get("GlobalSecondaryIndexes", [])}
        assert gone.isdisjoint(indexes)
        was_and_is = {name: index for name, index in was["indexes"].items() if name not in gone}
        for name, index in was_and_is.items():
            projection = indexes[name]["Projection"]
            carried = {
                column: sorted(value) if isinstance(value, list) else value for column, value in projection.items()
            }
            assert (indexes[name]["KeySchema"], carried) == (index["KeySchema"], index["Projection"]), name
        if table in MODELS:
            assert was_and_is.keys() <= MODELS[table][""]._indexes.keys(), table


def test_what_was_put_back_is_all_there_was(before: Before) -> None:
    assert {table: len(found) for table, found in before.state().items()} == {
        table: len(items(table)) for table in MODELS
    }
    assert not any(dump()["tables"][table] for table in dump()["tables"].keys() - MODELS.keys())


RECORDS = {
    "tasks": "task_id", "jobs": "job_id", "reports": "report_id", "sources": "source_id", "calendars": "calendar_id",
    "tokens": "token_id",
}  # fmt: skip
# Answered as they are now, not as they are kept.
COMPUTED = {"next_fire_at"}


def test_each_record_is_answered_with_what_is_kept_of_it(before: Before) -> None:
    for table, key in RECORDS.items():
        for row in rows(table):
            reply = before.admin.get(f"/{table}/{row[key]}")
            assert reply.status == 200, reply.raw
            shared = reply.json.keys() & row.keys() - COMPUTED
            assert len(shared) > 4
            assert {name: reply.json[name] for name in shared} == {name: _shown(name, row[name]) for name in shared}


def _shown(name: str, kept: Any) -> Any:
    """A column as the API shows it."""
    if name == "expires_at" and isinstance(kept, float):
        return datetime.fromtimestamp(kept, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(kept, str) and name.endswith(("_at", "_for", "_before", "_start", "_end")):
        return kept.replace(".000Z", "Z")
    if isinstance(kept, str) and kept.startswith(("{", "[", '"')):
        return json.loads(kept)
    return kept


def test_what_hangs_on_each_job_is_answered(before: Before) -> None:
    runs, objects = Counter(row["job_id"] for row in rows("runs")), before.world.objects()
    for row in rows("jobs"):
        path = f"/jobs/{row['job_id']}"
        assert len(before.admin.get(f"{path}/runs", limit=100).json["items"]) == runs[row["job_id"]]
        files = json.loads(row.get("files") or "[]")
        assert before.admin.get(f"{path}/files").json["items"] == files
        assert before.admin.get(f"{path}/download").status == (200 if files else 404), path
        for file in files:
            assert hashlib.sha256(objects[file["key"]]).hexdigest() == file["sha256"]


def logged(before: Before, run: str) -> list[dict[str, Any]]:
    owner, number = run.rsplit("-", 1)
    reply = before.admin.get(f"/jobs/{owner}/logs", run=number, limit=1000)
    assert reply.status == 200, reply.raw
    return [{name: line[name] for name in line.keys() - {"run_no"}} for line in reply.json["items"]]


def test_the_log_of_each_run_is_read_from_the_table_and_then_from_its_archive(before: Before) -> None:
    written: dict[str, list[Any]] = {}
    for row in sorted(rows("logs"), key=lambda row: row["sequence"]):
        if not row["run"].endswith("alerts"):
            written.setdefault(row["run"], []).extend(map(json.loads, zlib.decompress(row["packed"]).splitlines()))
    archived = {
        "-".join(key.removesuffix(".jsonl.gz").split("/")[2:]): key
        for key in dump()["objects"]
        if key.startswith("logs/") and "alerts" not in key
    }
    assert len(written) > len(archived) > 40
    for run, lines in written.items():
        assert logged(before, run)[: len(lines)] == lines
    for item in items("logs"):
        key = {name: item[name] for name in ("run", "sequence")}
        before.world.client("dynamodb").delete_item(TableName=f"{STAGE}-logs", Key=key)
    working = {row["job_id"] for row in rows("jobs") if row["status"] in ("assigned", "running")}
    objects = before.world.objects()
    for run, key in archived.items():
        if run.split("-")[0] in working:
            continue  # read from the table until its job has ended too
        assert logged(before, run)[: len(written[run])] == written[run]
        assert list(map(json.loads, gzip.decompress(objects[key]).splitlines())) == written[run]


def test_a_token_speaks_for_whom_it_spoke(before: Before) -> None:
    told = {name: Http(f"Bearer {text}").get("/me") for name, text in dump()["tokens"].items()}
    assert {name: reply.status for name, reply in told.items()} == {
        "admin": 200, "viewer": 200, "operator": 200, "robot": 200, "revoked": 401, "expired": 401,
    }  # fmt: skip
    assert told["operator"].json == {"name": "token:olga", "role": "operator", "pool": None}


def test_a_request_that_was_answered_is_answered_again_and_one_that_broke_off_is_finished(before: Before) -> None:
    asked = dump()["requests"]
    http = Http(f"Bearer {dump()['tokens']['operator']}")
    first, broken_off = asked["finished"], asked["unfinished"]
    again = http.post(first["path"], first["body"], key=first["key"])
    assert (again.status, again.json, again.headers["Idempotent-Replayed"]) == (201, first["answer"], "true")
    assert http.post(first["path"], {}, key=first["key"]).status == 422
    before.world.forward(seconds=60)
    done = http.post(broken_off["path"], broken_off["body"], key=broken_off["key"])
    assert (done.status, done.json["job_id"]) == (201, job_id("asked and died"))
    assert len(before.state()["jobs"]) == len(items("jobs"))


def test_the_password_of_a_source_is_found(before: Before) -> None:
    (source,) = [row for row in rows("sources") if row["kind"] == "postgres"]
    assert secrets.get(secrets.source_name(source["source_id"]), source.get("secret_version")) == {
        "password": "made-for-a-test"
    }


# --- listed -----------------------------------------------------------------------------------------------------------


def listed(before: Before, path: str, key: str, **query: Any) -> list[str]:
    """The ids on all pages of a list, whose total is their number."""
    found: list[str] = []
    page = pages = 1
    while page <= pages:
        reply = before.admin.get(path, page=page, page_size=50, **query)
        assert reply.status == 200, reply.raw
        found += [row[key] for row in reply.json["items"]]
        page, pages, total = page + 1, reply.json["pages"], reply.json["total"]
    assert total == len(found)
    return found


def ids(table: str, key: str, **equal: Any) -> list[str]:
    """Of the dump's rows that have these values: newest first."""
    matching = [row for row in rows(table) if all(row.get(name) == value for name, value in equal.items())]
    return sorted((row[key] for row in matching), reverse=True)


JOB_FILTERS = (
    "status", "reason", "trigger", "kind", "group", "pool", "operator", "source_id", "account_id", "action", "task_id",
    "job_id",
)  # fmt: skip


def listed_by_each_value(before: Before, path: str, key: str, columns: tuple[str, ...]) -> None:
    table = path.strip("/")
    assert listed(before, path, key) == ids(table, key)
    for column in columns:
        values = {row[column] for row in rows(table) if column in row} - {""}
        assert len(values) > 1, column
        # Of ids there are many: each third.
        for value in sorted(values)[:: 3 if len(values) > 40 else 1]:
            assert listed(before, path, key, **{column: value}) == ids(table, key, **{column: value}), column


def test_jobs_are_listed_by_each_value_of_each_column(before: Before) -> None:
    listed_by_each_value(before, "/jobs", "job_id", JOB_FILTERS)


def test_jobs_are_listed_by_several_filters_together(before: Before) -> None:
    everything = ids("jobs", "job_id")
    assert listed(before, "/jobs", "job_id") == everything
    assert listed(before, "/jobs", "job_id", sort="created_at") == everything[::-1]
    manual = ids("jobs", "job_id", trigger="manual", status="succeeded")
    assert manual
    assert listed(before, "/jobs", "job_id", trigger="manual", status="succeeded") == manual
    either = sorted(ids("jobs", "job_id", status="waiting") + ids("jobs", "job_id", status="failed"), reverse=True)
    assert listed(before, "/jobs", "job_id", status=["waiting", "failed"]) == either
    # An id begins with the slot, or the acceptance.
    slots = [
        row for row in rows("jobs") if row["trigger"] == "schedule" and "09:24" <= row["scheduled_for"][11:] < "09:41"
    ]
    found = listed(before, "/jobs", "job_id", trigger="schedule", created_from=_z("09:24"), created_to=_z("09:41"))
    assert found == sorted((row["job_id"] for row in slots), reverse=True) != []


def _z(text: str) -> str:
    return f"2026-03-02T{text}:00Z"


def test_jobs_are_found_by_the_name_that_their_task_had(before: Before) -> None:
    for search in ("EXPORT", "again", "renamed", "straße", "lost", "no such name"):
        found = [row["job_id"] for row in rows("jobs") if search.casefold() in row["task_name"].casefold()]
        assert listed(before, "/jobs", "job_id", search=search) == sorted(found, reverse=True), search


def test_open_jobs_are_counted(before: Before) -> None:
    counted = Counter((row["pool"], row["kind"], row["status"]) for row in rows("jobs") if row["status"] in OPEN)
    answer = before.admin.get("/jobs/counts").json
    shown = {(one["pool"], one["kind"], status): one[status] for one in answer["pools"] for status in OPEN}
    assert {key: number for key, number in shown.items() if number} == counted
    assert answer["waiting"] == sum(number for (_, _, status), number in counted.items() if status == "waiting")


def test_tasks_are_listed_by_each_value_of_each_column(before: Before) -> None:
    listed_by_each_value(before, "/tasks", "task_id", ("kind", "group", "creator", "enabled", "latest_status"))


def test_the_audit_is_listed_by_each_value_of_each_column(before: Before) -> None:
    listed_by_each_value(before, "/audit", "entry_id", ("actor", "action", "record_type", "record_id"))


def test_batches_and_what_became_of_their_jobs_are_listed(before: Before) -> None:
    assert listed(before, "/batches", "batch_id") == ids("batches", "batch_id", part=0)
    for row in (row for row in rows("batches") if row["part"] == 0):
        parts = sorted(
            (each for each in rows("batches") if each["batch_id"] == row["batch_id"]), key=lambda each: each["part"]
        )
        chosen = [each for part in parts[1:] for each in json.loads(part["job_ids"])]
        found: list[str] = []
        for page in range(1, 7):
            reply = before.admin.get(f"/batches/{row['batch_id']}", page=page, page_size=50)
            assert reply.status == 200
            found += [outcome["job_id"] for outcome in reply.json["outcomes"]["items"]]
        assert found == chosen


def test_pools_are_listed_with_what_was_said_of_them(before: Before) -> None:
    pools = {pool["pool_id"]: pool for pool in before.admin.get("/pools").json["items"]}
    assert {name: (pool["paused"], pool["note"], pool["waiting"]) for name, pool in pools.items()} == {
        "cloud": (False, "", len(ids("jobs", "job_id", pool="cloud", status="waiting"))),
        "lab": (True, "im Umbau", 2),
    }
