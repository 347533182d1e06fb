"""The proof of a soak finds each fault that is planted, and no fault where there is none."""

from __future__ import annotations

import ast
import copy
import gzip
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.soak.fires import fires
from tests.soak.proof import Proof

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EVERY_MINUTE = {"type": "cron", "expression": "* * * * *", "timezone": "UTC"}
ROWS = "n,window_start,window_end\n" + "".join(
    f"{n},2026-03-02T11:00:00Z,2026-03-02T12:00:00Z\n" for n in range(1, 101)
)
FILE = gzip.compress(ROWS.encode())


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def a_run(number: int, minute: int, status: str = "succeeded") -> dict[str, Any]:
    begun = NOON + timedelta(minutes=minute, seconds=10 * number)
    return {
        "run_no": number,
        "status": status,
        "started_at": text(begun),
        "ended_at": text(begun + timedelta(seconds=5)),
    }


class Memory:
    """What a sound API answers after a soak of one task, whose three slots all ran."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self.content = {f"j{minute}": FILE for minute in (1, 2, 3)}
        self.manifest = {
            "file_name": "f", "rows": 100, "bytes": len(FILE), "sha256": hashlib.sha256(FILE).hexdigest()
        }  # fmt: skip
        self.counts = {"waiting": 0, "assigned": 0, "running": 0}
        self.hidden: set[str] = set()
        for minute in (1, 2, 3):
            self.add(f"j{minute}", minute)

    def add(self, job_id: str, minute: int) -> None:
        slot = NOON + timedelta(minutes=minute)
        self.jobs[job_id] = {
            "job_id": job_id,
            "task_id": "t",
            "status": "succeeded",
            "reason": None,
            "trigger": "schedule",
            "scheduled_for": text(slot),
            "ended_at": text(slot + timedelta(seconds=20)),
            "run_no": 1,
            "files": [self.manifest],
            "window_start": "2026-03-02T11:00:00Z",
            "window_end": "2026-03-02T12:00:00Z",
        }
        self.runs[job_id] = [a_run(1, minute)]
        self.content.setdefault(job_id, FILE)

    def get(self, path: str) -> Any:
        path, _, query = path.partition("?")
        if path == "/jobs":
            shown = [job for job in self.jobs.values() if "task_id" not in query or job["job_id"] not in self.hidden]
            return {"items": copy.deepcopy(shown), "pages": 1}
        if path == "/jobs/counts":
            return self.counts
        if path == "/tasks/t":
            return {"task_id": "t"}
        _, _, job_id, *rest = path.split("/")
        if job_id not in self.jobs:
            return None
        answers = {
            (): self.jobs[job_id],
            ("runs",): {"items": self.runs[job_id]},
            ("files",): {"items": [self.manifest]},
            ("download",): {"items": [{"url": job_id}]},
        }
        return answers[tuple(rest)]

    def download(self, url: str) -> bytes | None:
        return self.content.get(url)


def diary() -> list[dict[str, Any]]:
    begin, end = NOON + timedelta(seconds=30), NOON + timedelta(minutes=3, seconds=30)
    task = {"act": "task", "task_id": "t", "schedule": EVERY_MINUTE, "enabled": True}
    return [
        task | {"asked": begin, "answered": begin},
        task | {"asked": end, "answered": end, "enabled": False},
    ]


def faults(api: Memory, lines: list[dict[str, Any]] | None = None) -> list[str]:
    proof = Proof(api, lines or diary())
    proof.prove()
    return proof.faults


def test_a_sound_stack_has_no_fault() -> None:
    assert faults(Memory()) == []


def _drop(api: Memory) -> None:
    del api.jobs["j2"]


def _two_runs(api: Memory) -> None:
    api.jobs["j2"]["run_no"] = 2
    api.runs["j2"].append(a_run(2, 2))


def _overlapping(api: Memory) -> None:
    api.jobs["j2"]["run_no"] = 2
    first = a_run(1, 2, "failed")
    api.runs["j2"] = [first, a_run(2, 2) | {"started_at": first["started_at"]}]


def _cut(api: Memory) -> None:
    api.content["j2"] = FILE[:-20]


def _other_rows(api: Memory) -> None:
    api.jobs["j2"]["window_start"] = "2026-03-02T10:00:00Z"


def _open_run(api: Memory) -> None:
    api.runs["j2"][0] |= {"status": "running", "ended_at": None}


def _lose_a_file(api: Memory) -> None:
    del api.content["j2"]


FAULTS: list[tuple[Callable[[Memory], object], str]] = [
    (_drop, "slot 2026-03-02 12:02:00+00:00 of task t has no job"),
    (lambda api: api.add("twice", 2), "has 2 jobs"),
    (lambda api: api.jobs["j3"].update(scheduled_for="2026-03-02T12:03:20Z"), "where no schedule of it fires"),
    (_two_runs, "2 runs succeeded, and it was run again 0 times"),
    (_overlapping, "before the one before ended"),
    (_open_run, "run 1 has not ended"),
    (lambda api: api.jobs["j2"].update(run_no=2), "its runs are [1], and it counts 2"),
    (lambda api: api.jobs["j2"].update(files=[]), "it succeeded without a file"),
    (lambda api: api.jobs["j2"].update(status="failed", reason=None), "no reason"),
    (lambda api: api.jobs["j2"].update(ended_at=None), "it has not ended"),
    (_cut, "the hash differs"),
    (_other_rows, "the job has 2026-03-02T10:00:00Z"),
    (_lose_a_file, "its file f is gone"),
    (lambda api: api.manifest.update(rows=99), "100 rows came, the manifest says 99"),
    (lambda api: api.counts.update(waiting=1), "1 jobs are waiting"),
    (lambda api: api.hidden.add("j2"), "are in one list only"),
]


@pytest.mark.parametrize(("plant", "said"), FAULTS, ids=[said for _, said in FAULTS])
def test_a_planted_fault_is_found(plant: Callable[[Memory], object], said: str) -> None:
    api = Memory()
    plant(api)
    found = faults(api)
    assert any(said in fault for fault in found), found


def test_the_slot_of_a_deleted_job_is_not_missing() -> None:
    api, at = Memory(), NOON + timedelta(minutes=3)
    _drop(api)
    gone = {"act": "delete_job", "job_id": "j2", "task_id": "t", "scheduled_for": text(NOON + timedelta(minutes=2))}
    assert faults(api, [*diary(), gone | {"asked": at, "answered": at}]) == []


def test_what_a_power_cut_undid_is_expected_of_neither_schedule() -> None:
    """The task was disabled and, by the power cut, never was: its slots may have jobs or not, until it is found."""
    api = Memory()
    del api.jobs["j3"]
    first, last = diary()
    at = NOON + timedelta(minutes=2, seconds=10)
    cut = {"act": "kill_stack", "since": at - timedelta(seconds=5), "asked": at + timedelta(seconds=5)}
    disabled = first | {"asked": at, "answered": at, "enabled": False}
    found = first | {"act": "found", "asked": NOON + timedelta(minutes=3, seconds=5)}
    found["answered"] = found["asked"]
    assert faults(api, [first, disabled, cut | {"answered": cut["asked"]}, found, last]) == []
    assert faults(api, [first, found, last]) != []


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (EVERY_MINUTE, ["12:00:00", "12:01:00", "12:02:00", "12:03:00", "12:04:00"]),
        ({"type": "cron", "expression": "20 1-59/3 * * * *", "timezone": "UTC"}, ["12:01:20", "12:04:20"]),
        ({"type": "interval", "every": 95, "unit": "second", "start": "2026-03-02T11:59:00+00:00"},
         ["12:00:35", "12:02:10", "12:03:45"]),
        ({"type": "calendar", "at": "20:02:30", "timezone": "Asia/Shanghai"}, ["12:02:30"]),
        ({"type": "once", "at": "2026-03-02T07:03:01", "timezone": "America/New_York"}, ["12:03:01"]),
    ],
    ids=str,
)  # fmt: skip
def test_fires_are_told_anew(schedule: dict[str, Any], expected: list[str]) -> None:
    found = fires(schedule, NOON, NOON + timedelta(minutes=4, seconds=30))
    assert [f"{at:%H:%M:%S}" for at in found] == expected


@pytest.mark.parametrize("name", ["proof", "fires", "diary"])
def test_the_proof_imports_nothing_of_carillon(name: str) -> None:
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text("utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    allowed = ("tests.soak.diary", "tests.soak.fires") if name == "proof" else ()
    ours = ("chalicelib", "infra", "app", "tests")
    assert [
        each for each in modules if each.split(".")[0] in ours and each not in allowed and each != "tests.soak"
    ] == []
