"""Records that an earlier day's code wrote are fired and worked off by today's: every open job comes to its end."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import timedelta

import pytest

from chalicelib.aws.clients import client
from chalicelib.core.invariants.table import broken
from chalicelib.core.lifecycle import OPEN
from chalicelib.maintenance import integrity
from chalicelib.store.concurrency import holders, permit
from chalicelib.store.task_record import TaskRecord
from tests.support.records_before import Before, Item, at, csv_of, dump, items, job_id, restored, rows, slot_of, task_id
from tests.support.rule_console import told
from tests.support.simulator import Stage, a_stage
from tests.support.world import a_world


@pytest.fixture
def before(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Before:
    return restored(stage, monkeypatch)


# --- fired ------------------------------------------------------------------------------------------------------------

# No tick came since 09:40 but one, which had time for two slots of `union`. task -> slots not run, slots to be run.
FIRED: dict[str, tuple[list[str], list[str]]] = {
    "the last of the missed": ([f"09:{minute}" for minute in range(42, 49)], ["09:49", "09:50", "09:51"]),
    "skip the missed": ([f"09:{minute}" for minute in range(42, 50)], ["09:50", "09:51"]),
    "catch up": ([f"09:{minute}" for minute in range(42, 47)], [f"09:{minute}" for minute in range(47, 52)]),
    "union": ([f"09:{minute}" for minute in range(44, 49)], ["09:49", "09:50", "09:51"]),
    "once past": ([], ["09:45"]),
    "once due": ([], ["09:51:30"]),
    "cron in Shanghai": ([], ["09:46"]),
    "calendar day": ([], ["09:47"]),
    "day off": (["09:48"], []),
    "export due": ([], ["09:51"]),
}


def new_jobs(before: Before) -> dict[str, Item]:
    known = {item["job_id"]["S"] for item in items("jobs")}
    return {item["job_id"]["S"]: item for item in before.state()["jobs"] if item["job_id"]["S"] not in known}


def test_a_tick_fires_what_is_due_under_the_ids_of_its_slots(before: Before) -> None:
    before.stage.tick()
    made = new_jobs(before)
    unrun = {slot_of(name, text) for name, (slots, _) in FIRED.items() for text in slots}
    to_run = {slot_of(name, text) for name, (_, slots) in FIRED.items() for text in slots}
    assert made.keys() == unrun | to_run
    assert {key for key, item in made.items() if item["status"]["S"] == "waiting"} == to_run
    skipped = made.pop(slot_of("day off", "09:48"))
    assert (skipped["status"]["S"], skipped["reason"]["S"]) == ("skipped", "non_business_day")
    assert {made[key]["reason"]["S"] for key in unrun & made.keys()} == {"misfire"}
    # From where the first of its slots recorded missed, by the code of before, had begun.
    united = made[slot_of("union", "09:49")]
    assert (united["window_start"]["S"], united["window_end"]["S"]) == (
        "2026-03-02T09:41:00.000Z",
        "2026-03-02T09:49:00.000Z",
    )
    assert {json.loads(message.body)["job"] for message in before.stage.messages if "job" in message.body} >= to_run


def test_a_second_tick_changes_nothing(before: Before) -> None:
    before.stage.tick()
    state, messages = before.state(), list(before.stage.messages)
    before.stage.tick()
    assert before.state() == state
    assert before.stage.messages == messages


def test_a_rule_put_before_fires_its_slot_and_tells_of_those_it_missed(before: Before) -> None:
    task = TaskRecord.get(task_id("rule"))
    told(before.stage, task, at("09:50:05"))
    told(before.stage, task, at("09:50:05"), event_id="again")
    made = {key: item["status"]["S"] for key, item in new_jobs(before).items()}
    missed = {slot_of("rule", f"09:{minute:02}"): "missed" for minute in range(8, 49)}
    assert made == missed | {slot_of("rule", "09:49"): "waiting", slot_of("rule", "09:50"): "waiting"}


# --- worked off -------------------------------------------------------------------------------------------------------

# What becomes of every job that was open: status, reason, runs.
BECOMES: dict[str, tuple[str, str | None, int]] = {
    "run again": ("succeeded", None, 2),
    "buffering": ("succeeded", None, 2),
    "buffered": ("succeeded", None, 1),
    "lost, tried again": ("succeeded", None, 2),
    "lost for good": ("failed", "worker_lost", 1),
    "lost and cancelled": ("canceled", "by_user", 1),
    "lost unrecorded": ("succeeded", None, 2),
    "ended half way": ("succeeded", None, 1),
    "export lost": ("succeeded", None, 2),
    "limited, active": ("succeeded", None, 2),
    "limited, parked 1": ("succeeded", None, 1),
    "limited, parked 2": ("succeeded", None, 1),
    "source, active": ("failed", "worker_lost", 1),
    "source, parked export": ("succeeded", None, 1),
    "held": ("failed", "worker_lost", 1),
    "held, to stop": ("canceled", "by_user", 1),
    "between attempts": ("failed", "error", 3),
    "between attempts, far": ("failed", "error", 2),
    "short of its deadline": ("timed_out", "deadline", 2),
    "outlived": ("succeeded", None, 1),
    "limited by a ghost": ("succeeded", None, 1),
    "paused": ("succeeded", None, 1),
    "paused too long": ("timed_out", "queue_wait", 0),
    "asked under a key": ("succeeded", None, 1),
    "asked and died": ("succeeded", None, 1),
    "ready": ("succeeded", None, 1),
    "token lost": ("succeeded", None, 1),
    "export ready": ("succeeded", None, 1),
    "planned ahead": ("succeeded", None, 1),
    **{f"again {number}": ("succeeded", None, 1) for number in range(1, 7)},
}


@dataclass
class After:
    """What stands in the tables and the bucket when the last of it is over."""

    state: dict[str, list[Item]]
    objects: dict[str, bytes]
    # Invariants that do not hold.
    broken: list[str]
    # What was waiting in the paused pool before it went on.
    paused: list[str]

    def job(self, name: str) -> Item:
        return next(item for item in self.state["jobs"] if item["job_id"]["S"] == job_id(name))

    def files(self, item: Item) -> list[bytes]:
        return [self.objects[file["key"]] for file in json.loads(item["files"]["S"])]


@pytest.fixture(scope="module")
def after() -> After:
    """Twenty-five minutes, once for all tests; the pool that was paused goes on at the end."""
    with pytest.MonkeyPatch.context() as monkeypatch, a_world() as world:
        stage = a_stage(world, monkeypatch)
        before = restored(stage, monkeypatch)
        stage.minutes(20)
        paused = [job.job_id for job in stage.open_jobs() if job.pool == "lab"]
        assert before.admin.patch("/pools/lab", {"paused": False}).status == 200
        stage.minutes(5)
        wrong = [name for job in stage.jobs() for name in not_true_of(job.job_id, stage)]
        found = After(before.state(), world.objects(), wrong, paused)
        client("sqs").meta.events.unregister("before-parameter-build.sqs.SendMessageBatch", unique_id="tests-delay")
    return found


def not_true_of(job: str, stage: Stage) -> list[str]:
    facts = integrity.read(job, now=stage.now)
    assert facts is not None
    return [f"{job}: {each.name}" for each in broken(facts)]


def test_every_invariant_holds_when_it_is_put_back_and_when_all_is_over(before: Before, after: After) -> None:
    assert [name for row in rows("jobs") for name in not_true_of(row["job_id"], before.stage)] == []
    assert after.broken == []


def test_every_open_job_comes_to_its_end(after: After) -> None:
    left_open = {row["job_id"] for row in rows("jobs") if row["status"] in OPEN}
    # Those that the batch had not run again yet.
    by_the_batch = {job_id(f"again {number}") for number in (4, 5, 6)}
    assert left_open == {job_id(name) for name in BECOMES} - by_the_batch
    found = {name: after.job(name) for name in BECOMES}
    became = {
        name: (item["status"]["S"], item.get("reason", {}).get("S"), int(item["run_no"]["N"]))
        for name, item in found.items()
    }
    assert became == BECOMES


def test_a_pool_that_was_paused_starts_nothing_until_it_goes_on(after: After) -> None:
    assert after.paused == [job_id("paused")]


def test_jobs_that_were_being_deleted_are_gone_with_all_they_left(after: After) -> None:
    for name in ("to be deleted", "to go by batch 1", "to go by batch 2"):
        gone = job_id(name)
        assert any(gone in key for key in dump()["objects"])
        assert [key for key in after.objects if gone in key] == []
        left = [(table, item) for table in ("jobs", "runs", "logs") for item in after.state[table]]
        assert [table for table, item in left if gone in str(item)] == []
        told_of = [item for item in after.state["audit"] if item["record_id"]["S"] == gone]
        assert [item["action"]["S"] for item in told_of] == ["delete"]


def test_batches_go_on_where_they_stood(after: After) -> None:
    batches = {(item["batch_id"]["S"], int(item["part"]["N"])): item for item in after.state["batches"]}
    came_to = {
        "running": ("done", {"done": 6, "refused": 1, "not_found": 253}),
        "deleting": ("done", {"done": 2}),
        "taken back": ("canceled", {"canceled": 1}),
    }
    for name, (status, counts) in came_to.items():
        batch = batches[dump()["batches"][name], 0]
        assert (batch["status"]["S"], json.loads(batch["counts"]["S"])) == (status, counts), name
    asked = [item for item in after.state["audit"] if item["record_id"]["S"] in {job_id("again 3"), job_id("again 4")}]
    # Once each, though the worker of before died between the two.
    assert sorted(item["action"]["S"] for item in asked) == ["cancel", "cancel", "rerun", "rerun"]
    assert [item for item in after.state["jobs"] if item["job_id"]["S"].startswith("batch.")] == []


def test_exports_left_open_and_fired_leave_the_right_files(after: After) -> None:
    columns, day = "id,at,customer,amount", timedelta(days=1)
    orders, amounts = map(gzip.decompress, after.files(after.job("export ready")))
    assert orders == csv_of(columns, at("06:50:15"), at("09:50:15"))
    assert amounts.splitlines() == [b"id,amount", b"0,0.10", b"1,1.10", b"2,2.10", b"3,3.10"]
    for name in ("export lost", "source, parked export"):
        assert after.files(after.job(name)) == [csv_of(columns, at("00:00") - day, at("00:00"))], name
    assert {
        key.split("/")[3] for key in after.objects if key.startswith(f"files/report_export/{job_id('export lost')}")
    } == {"2"}
    fired = next(item for item in after.state["jobs"] if item["job_id"]["S"] == slot_of("export due", "09:51"))
    assert after.files(fired) == [csv_of(columns, at("05:00"), at("09:00"))]


def test_the_end_that_a_run_had_written_is_the_end_of_its_job(after: After) -> None:
    job = after.job("ended half way")
    assert (job["rows"]["N"], job["summary"]["S"]) == ("450", "450 lines")


def test_every_place_in_a_limit_is_given_back(after: After) -> None:
    held = [row for row in items("pools") if "holders" in row]
    assert len(held) == 3
    assert [item for item in after.state["pools"] if "holders" in item] == []


def test_a_place_taken_before_is_known_by_its_name(before: Before) -> None:
    holding = [row for row in rows("jobs") if "holds" in row and row["status"] in ("assigned", "running")]
    assert len(holding) == 2
    for row in holding:
        for limit in row["holds"]:
            assert permit(row["job_id"], row["fence"]) in holders(limit)


def test_a_walk_begun_before_goes_on(before: Before) -> None:
    walks = {row["job_id"]["S"]: row for row in items("jobs") if row["job_id"]["S"].startswith("patrol.")}
    assert len(walks) == 2
    before.world.now = at("10:25")
    assert before.stage.sweep().repaired == 0
    now = {
        item["job_id"]["S"]: item for item in before.state()["jobs"] if "cursor" in item or item["job_id"]["S"] in walks
    }
    assert now.keys() == walks.keys()
    assert {item["lease_until"]["S"] for item in now.values()} == {"2026-03-02T11:25:00.000Z"}


def test_a_rule_edited_before_is_taken_over_after(after: After) -> None:
    (was,) = [row for row in rows("tasks") if row["task_id"] == task_id("rule edited")]
    assert (json.loads(was["schedule"])["expression"], was["revision"]) == ("0 5 * * *", 1)
    task = next(item for item in after.state["tasks"] if item["task_id"]["S"] == task_id("rule edited"))
    assert (json.loads(task["schedule"]["S"])["expression"], task["revision"]["N"]) == ("30 6 * * *", "2")
