"""A record that is accepted has room for the longest life: every write is known, bounded, and adds up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core import record_bounds as most
from chalicelib.core.ids import ulid
from chalicelib.core.item_size import ITEM_BYTES, item_bytes
from chalicelib.core.lifecycle import JobStatus, Reason, RunStatus
from chalicelib.core.prices import Units, cost_record
from chalicelib.errors import RecordTooLarge
from chalicelib.store import job_transitions, job_updates, jobs, record_sizes, runs, tasks
from chalicelib.store.base import Record
from chalicelib.store.catalogue import CalendarRecord, ReportRecord, SourceRecord
from chalicelib.store.job_record import JobRecord
from chalicelib.store.record_sizes import BUDGET_BYTES, GROWS, growth_bytes, largest_bytes, require_room
from chalicelib.store.runs import RunRecord
from chalicelib.store.task_record import DEFINITION, TaskRecord
from tests.store.test_contract import NOW, a_job, a_task
from tests.support.exact_sizes import exact_sizes
from tests.support.house import ROOT
from tests.support.world import World

STORE = ROOT / "chalicelib" / "store"
PAGE = (ROOT / "docs" / "reference" / "record-sizes.md").read_text("utf-8")
# The columns that no write changes once the record is made. A new column of a job is here, or in GROWS with its bound.
MADE_WITH: dict[type[Record], set[str]] = {
    JobRecord: {
        "job_id", "month", "task_id", "task_name", "search_name", "task_revision", "kind", "group", "creator",
        "description", "spec", "parameters", "timezone", "window_end", "follows_previous", "scheduled_for",
        "source_id", "account_id", "action", "overlap", "retry", "deadline_seconds", "queue_wait_limit_seconds",
        "statement_timeout_seconds", "pool", "created_at",
    },
    RunRecord: {"job_id", "run_no"},
    TaskRecord: {"task_id", "listing", "creator", "created_at", *DEFINITION} - {"source_id"},
    ReportRecord: {"report_id", "name", "description", "source_id", "queries", "parameters", "creator", "created_at"},
    SourceRecord: {
        "source_id", "name", "description", "kind", "settings", "max_concurrency", "creator", "created_at",
    },
    CalendarRecord: {
        "calendar_id", "name", "description", "country", "covers_from", "covers_to", "days", "creator", "created_at",
    },
}  # fmt: skip
# The longest text of a person: four bytes a letter in UTF-8, twelve in JSON.
LETTER = "\U0001f426"
PERSON = LETTER * most.ACTOR_CHARACTERS
ERROR = LETTER * 10_000


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact_sizes():
        yield


# --- every column is counted ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", GROWS, ids=lambda model: model.__name__)
def test_every_column_is_counted_as_it_is_made_or_as_large_as_it_may_become(model: type[Record]) -> None:
    columns = set(model.get_attributes())
    assert columns == MADE_WITH[model] | set(GROWS[model])
    assert not MADE_WITH[model] & set(GROWS[model])


def written_columns(module: str, model: str) -> set[str]:
    """The columns that a module sets or adds to: `JobRecord.rank.set(…)`, also by a name given to the column."""
    tree = ast.parse((STORE / f"{module}.py").read_text("utf-8"))
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            pairs = [(node.targets[0], node.value)]
            if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(node.targets[0].elts, node.value.elts, strict=True))
            for target, value in pairs:
                if isinstance(target, ast.Name) and ast.unparse(value).startswith(f"{model}."):
                    names[target.id] = ast.unparse(value).split(".")[1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            for column in re.findall(rf"^{model}\.(\w+)\.(?:set|add)$", called):
                found.add(column)
            if called.endswith((".set", ".add")) and called.split(".")[0] in names:
                found.add(names[called.split(".")[0]])
            if called == "set_or_remove":
                found |= set(re.findall(rf"^{model}\.(\w+)$", ast.unparse(node.args[0])))
    return found


@pytest.mark.parametrize(
    ("module", "model"),
    [
        ("job_transitions", JobRecord),
        ("job_updates", JobRecord),
        ("job_conditions", JobRecord),
        ("runs", RunRecord),
        ("tasks", TaskRecord),
    ],
)
def test_what_is_written_later_is_counted_with_its_bound(module: str, model: type[Record]) -> None:
    found = written_columns(module, model.__name__)
    assert found
    # An end that finds no room empties these.
    emptied = {"spec", "parameters", "description"} if module == "job_transitions" else set()
    assert found - emptied <= set(GROWS[model])


# --- the page ---------------------------------------------------------------------------------------------------------


def writers() -> set[str]:
    """`module.function` of the store, wherever one writes."""
    found = set()
    for path in sorted(STORE.glob("*.py")):
        writing = {"saved", "written", "_transition", "_end", "_write_if_as_read"}
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                calls = {ast.unparse(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
                if calls & writing and not node.name.startswith("_") and path.stem != "base":
                    found.add(f"{path.stem}.{node.name}")
    return found


def test_the_page_lists_every_function_that_writes() -> None:
    table = PAGE.split("## Every write", 1)[1]
    assert set(re.findall(r"`([a-z_]+\.[a-z_]+)`", table)) == writers()


def test_every_write_goes_through_the_base() -> None:
    """It alone tells a record that is too large from other failures."""
    for path in sorted(STORE.glob("*.py")):
        if path.stem != "base":
            assert not re.search(r"\.(save|update|delete)\((\[|\)|condition)", path.read_text("utf-8")), path.name


@pytest.mark.parametrize("model", GROWS, ids=lambda model: model.__name__)
def test_the_page_has_the_figures_of_the_code(model: type[Record]) -> None:
    [row] = re.findall(rf"^\| `{model.__name__}` \| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
    assert row == (str(-(-growth_bytes(model) // 1_000)), str((BUDGET_BYTES - growth_bytes(model)) // 1_000))


# --- the largest lives ------------------------------------------------------------------------------------------------


def filled(record: Any, column: str) -> Any:
    """The record with so long a document in the column that its budget is spent to the byte."""
    setattr(record, column, {"pad": ""})
    setattr(record, column, {"pad": "x" * (BUDGET_BYTES - largest_bytes(record))})
    assert largest_bytes(record) == BUDGET_BYTES
    require_room(record)
    return record


def largest_job() -> JobRecord:
    job = a_job(task_name=LETTER * 200, group=LETTER * 100, description=LETTER * 4_000, source_id="s" * 64)
    job.facets, job.search_name = {"task_id=task-1"}, LETTER * 200
    return filled(job, "spec")


def raw(world: World, table: str, job_id: str) -> dict[str, Any]:
    key = {"job_id": {"S": job_id}} | ({"run_no": {"N": "1"}} if table == "runs" else {})
    item: dict[str, Any] = world.client("dynamodb").get_item(TableName=f"carillon-test-{table}", Key=key)["Item"]
    return item


def test_the_largest_job_that_is_accepted_lives_the_longest_life(backend: World) -> None:
    job = largest_job()
    assert jobs.insert(job)
    sizes = [item_bytes(raw(backend, "jobs", job.job_id))]

    def done(written: bool) -> None:
        assert written
        sizes.append(item_bytes(raw(backend, "jobs", job.job_id)))

    for number in range(most.MARKS_MOST + 20):
        done(job_updates.set_priority(job, 5_000, mark=ulid(NOW + timedelta(seconds=number))))
    holds = frozenset({"task:" + "t" * 64, "source:" + "s" * 64})
    claim = {"worker": "w" * 128, "fence": "f" * 26, "lease_until": NOW, "now": NOW, "holds": holds}
    done(job_transitions.claim(job, **claim))  # type: ignore[arg-type]
    cost = cost_record(Units(*[123_456_789] * len(fields(Units))), runs=32)  # type: ignore[arg-type]
    done(job_transitions.wait_again(job, not_before=NOW, lease_until=NOW, error=ERROR, cost=cost))
    done(job_updates.park(job, "source:" + "s" * 64))
    for _ in range(30):
        done(job_updates.token_sent_again(job, lease_until=NOW))
    done(job_transitions.claim(job, **claim))  # type: ignore[arg-type]
    done(job_updates.request_cancel(job, by=PERSON, now=NOW))
    run = RunRecord(
        job.job_id, job.run_no, rows=10**18, bytes=10**18, summary=ERROR, stopped_at=NOW, cost=cost,
        files=[{"key": "k" * (most.MANIFESTS_BYTES - 20)}],
    )  # fmt: skip
    done(
        job_transitions.end_with_run(
            job, JobStatus.SUCCEEDED, run, reason=Reason("no_" + "x" * 61), error=ERROR, now=NOW
        )
    )
    done(job_transitions.rerun(job, by=PERSON, now=NOW, lease_until=NOW))
    done(
        job_transitions.end_without_run(job, JobStatus.CANCELED, reason=Reason.BY_USER, error=ERROR, now=NOW, by=PERSON)
    )
    by = {"name": PERSON, "role": "operator", "batch": ulid(NOW)}
    done(job_updates.begin_delete(job, by=by, at=NOW, lease_until=NOW, mark=ulid(NOW + timedelta(days=1))))
    assert len(job.spec["pad"]) > 300_000, "nothing was taken out of it"
    assert max(sizes) <= BUDGET_BYTES


def test_the_largest_run_fits_its_record(backend: World) -> None:
    run = RunRecord("J1", 1, fence="f" * 26, worker="w" * 128, created_at=NOW, started_at=NOW)
    run.definition = {f"sql {number}": LETTER * 16_000 for number in range(50)}
    assert runs.begin(run)
    assert runs.define("J1", 1, run.definition | {"more": LETTER * 16_000}, fence=run.fence)
    assert runs.define("J1", 1, {f"sql {number}": LETTER * 16_000 for number in range(50)}, fence=run.fence)
    run.status, run.reason, run.error, run.summary = RunStatus.FAILED, Reason.ERROR, ERROR, ERROR
    run.files = [{"key": "k" * (most.MANIFESTS_BYTES - 20)}]
    assert runs.end(run, made=True)
    assert item_bytes(raw(backend, "runs", "J1")) <= largest_bytes(run) <= BUDGET_BYTES
    found = runs.find("J1", 1)
    assert found is not None
    assert len(found.definition) == 50, "each text is cut, and none is left out"


def test_the_largest_task_that_is_accepted_lives_the_longest_life(backend: World) -> None:
    task = filled(a_task(name=LETTER * 200, description=LETTER * 4_000), "spec")
    assert tasks.insert(task)
    task.note = LETTER * 4_000
    task.ahead = [[2_000_000_000 + number] * 3 for number in range(most.AHEAD_MOST)]
    assert tasks.overwrite(task, expected_revision=1, previous_fire_at=None)
    assert tasks.note_rule(task, expression="cron(" + "1," * 124 + ")", state="ENABLED")
    assert tasks.note_fire(task, at=NOW, missed_since=NOW)
    tasks.set_source(task.task_id, "s" * 64)
    tasks.note_latest(task.task_id, job_id="J" * 26, status=JobStatus.SUCCEEDED, at=NOW)
    tasks.note(task, ERROR)
    found = tasks.get(task.task_id)
    assert item_bytes(found.serialize()) <= BUDGET_BYTES
    assert len(found.note.encode()) <= most.NOTE_BYTES


def test_a_record_without_room_names_its_largest_field() -> None:
    task = a_task(spec={"pad": "報" * 70_000}, parameters={"n": 1})
    with pytest.raises(RecordTooLarge) as refused:
        require_room(task)
    assert refused.value.field == "spec"
    with pytest.raises(RecordTooLarge) as refused:
        require_room(task, fields=("parameters", "name"))
    assert refused.value.field == "parameters"


def test_a_job_keeps_its_newest_marks(backend: World) -> None:
    job = a_job()
    assert jobs.insert(job)
    marks = [ulid(NOW + timedelta(seconds=number)) for number in range(most.MARKS_MOST + 5)]
    for mark in ("0" * 64, *marks):
        assert job_updates.set_priority(job, 1, mark=mark)
        assert not job_updates.set_priority(job, 2, mark=mark)
    assert jobs.get(job.job_id).acts == set(marks[-most.MARKS_MOST :])


def test_a_stale_read_forgets_no_mark(backend: World) -> None:
    """Between the read and the write another request left its mark."""
    job = a_job(acts={ulid(NOW, str(number)) for number in range(most.MARKS_MOST)})
    assert jobs.insert(job)
    stale, newer = jobs.get(job.job_id), ulid(NOW + timedelta(seconds=9))
    assert job_updates.set_priority(job, 1, mark=newer)
    assert not job_updates.set_priority(stale, 2, mark=ulid(NOW + timedelta(seconds=10)))
    assert newer in jobs.get(job.job_id).acts


def test_dynamodb_holds_so_many_bytes_of_an_item(backend: World) -> None:
    """The count is DynamoDB's own, up to a byte for each number."""
    job = a_job(spec={"pad": ""})
    job.facets, job.search_name = jobs.facets(job, job.status, job.reason), "daily"
    room = ITEM_BYTES - item_bytes(job.serialize())
    job.spec = {"pad": "x" * room}
    assert jobs.insert(job)
    job.job_id, job.spec = ulid(NOW), {"pad": "x" * (room + 30)}
    with pytest.raises(RecordTooLarge):
        jobs.insert(job)
    assert record_sizes.BUDGET_BYTES < ITEM_BYTES
