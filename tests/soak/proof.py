"""Proves a soak from the HTTP API alone: one job per slot, each ended once, files whole, no orphan.

    python -m tests.soak.proof --api http://127.0.0.1:8000/api --token … --diary diary.jsonl

It imports nothing of Carillon. What it expects comes from the diary of the soak and from `fires`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import os
import sys
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from tests.soak import diary
from tests.soak.fires import fires

OPEN = ("waiting", "assigned", "running")
RAN = ("succeeded", "failed", "timed_out", "canceled")
THREADS = 4


class Api(Protocol):
    def get(self, path: str) -> Any:
        """What the API answers; None for 404."""

    def download(self, url: str) -> bytes | None:
        """The file behind a link; None for 404."""


class HttpApi:
    def __init__(self, base_url: str, token: str):
        self.base_url, self.token = base_url, token

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.base_url + path, headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(f"GET {path}: {error.code} {error.read()[:500]!r}") from error

    def download(self, url: str) -> bytes | None:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise


def everything(api: Api, path: str) -> Iterator[dict[str, Any]]:
    """All items of a list, page after page."""
    page = 1
    while True:
        found = api.get(f"{path}{'&' if '?' in path else '?'}page_size=100&page={page}")
        yield from found["items"]
        if page >= found["pages"]:
            return
        page += 1


@dataclass
class Known:
    """What the diary says of one task: from when to when which schedule held for sure, and when that was unsure."""

    # (from, to, schedule): an enabled schedule held in this time.
    sure: list[tuple[datetime, datetime, dict[str, Any]]] = field(default_factory=list)
    # Every schedule that it ever had.
    ever: list[dict[str, Any]] = field(default_factory=list)
    begin: datetime | None = None
    deleted: bool = False


def read_tasks(lines: Iterable[dict[str, Any]]) -> dict[str, Known]:
    """The tasks of a diary. What was done after the snapshot that a power cut went back to is unsure until it is found
    again."""
    lines = list(lines)
    cuts = [(line["since"], line["asked"]) for line in lines if line["act"] == "kill_stack"]
    states: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        if line["act"] in ("task", "found"):
            states[line["task_id"]].append(line)
    return {task_id: _known(acts, cuts) for task_id, acts in states.items()}


def _known(acts: list[dict[str, Any]], cuts: list[tuple[datetime, datetime]]) -> Known:
    known = Known(begin=acts[0]["asked"])
    for act, following in zip(acts, [*acts[1:], None], strict=True):
        if act["schedule"] is not None and act["schedule"] not in known.ever:
            known.ever.append(act["schedule"])
        lost = act["act"] == "task" and any(since < act["answered"] and act["asked"] < cut for since, cut in cuts)
        if act["schedule"] is None or not act["enabled"] or lost or following is None:
            continue
        known.sure.append((act["answered"], following["asked"], act["schedule"]))
    known.deleted = any(act.get("deleted") for act in acts)
    return known


class Proof:
    """A look at the stack after a soak, when nothing runs any more. `faults` has a sentence for each that it found."""

    def __init__(self, api: Api, lines: Iterable[dict[str, Any]]):
        self.api = api
        self.lines = list(lines)
        self.tasks = read_tasks(self.lines)
        self.faults: list[str] = [f"the API failed: {line}" for line in self.lines if line["act"] == "fault"]
        self.counts: Counter[str] = Counter()
        self.deleted_jobs = {line["job_id"] for line in self.lines if line["act"] == "delete_job"}
        self.reruns = Counter(line["job_id"] for line in self.lines if line["act"] == "rerun")
        self.jobs: list[dict[str, Any]] = []
        # The bucket of the emulator survives a power cut as it is, and the records go back to the last snapshot: a file
        # that such an act removed is gone, though its record is back.
        cuts = [(line["since"], line["asked"]) for line in self.lines if line["act"] == "kill_stack"]
        self.undone = {
            line["job_id"]
            for line in self.lines
            if line["act"] in ("delete_job", "rerun")
            if any(since < line["answered"] and line["asked"] < cut for since, cut in cuts)
        }

    def prove(self) -> None:
        self.jobs = [job for job in everything(self.api, "/jobs") if job["task_id"] in self.tasks]
        self.counts["jobs"] = len(self.jobs)
        self.counts["tasks"] = len(self.tasks)
        self.lists_agree()
        self.one_job_for_each_slot()
        self.nothing_is_left()
        with ThreadPoolExecutor(THREADS) as pool:
            for faults in pool.map(self.job_is_sound, self.jobs):
                self.faults += faults

    def lists_agree(self) -> None:
        """The list by task, the list by status and the whole list name the same jobs."""
        ids = [job["job_id"] for job in self.jobs]
        self.faults += [f"job {job_id} is listed {n} times" for job_id, n in Counter(ids).items() if n > 1]
        for task_id in self.tasks:
            found = {job["job_id"] for job in everything(self.api, f"/jobs?task_id={task_id}")}
            whole = {job["job_id"] for job in self.jobs if job["task_id"] == task_id}
            if found != whole:
                self.faults.append(f"task {task_id}: {sorted(found ^ whole)} are in one list only")
        by_status = Counter(job["status"] for job in self.jobs)
        self.counts.update({f"jobs {status}": n for status, n in by_status.items()})

    def one_job_for_each_slot(self) -> None:
        slots: dict[tuple[str, datetime], list[str]] = defaultdict(list)
        for job in self.jobs:
            if job["trigger"] == "schedule" or (job["trigger"] == "rerun" and job["task_id"] in self.tasks):
                slots[job["task_id"], datetime.fromisoformat(job["scheduled_for"])].append(job["job_id"])
        by_hand = {line["job_id"] for line in self.lines if line["act"] == "run"}
        for (task_id, at), ids in slots.items():
            planned = [job_id for job_id in ids if job_id not in by_hand]
            if len(planned) > 1:
                self.faults.append(f"slot {at} of task {task_id} has {len(planned)} jobs: {planned}")
        # A deleted job is gone with its slot, and its record cannot say which slot that was.
        deleted = sum(1 for job_id in self.deleted_jobs if self.api.get(f"/jobs/{job_id}") is None)
        missing = []
        for task_id, known in self.tasks.items():
            expected = {at for begin, end, schedule in known.sure for at in fires(schedule, begin, end)}
            self.counts["slots"] += len(expected)
            missing += [(task_id, at) for at in sorted(expected) if (task_id, at) not in slots]
        unexplained = [each for each in missing if not self._was_deleted(each)]
        self.counts["slots of deleted jobs"] = len(missing) - len(unexplained)
        self.counts["deleted jobs"] = deleted
        self.faults += [f"slot {at} of task {task_id} has no job" for task_id, at in unexplained]
        for task_id, at in slots:
            if not self._some_schedule_fires(task_id, at) and not set(slots[task_id, at]) & by_hand:
                self.faults.append(
                    f"task {task_id} has a job for {at}, where no schedule of it fires: {slots[task_id, at]}"
                )

    def _was_deleted(self, slot: tuple[str, datetime]) -> bool:
        """Whether a job of this slot was deleted: the diary has its task and slot from before."""
        return any(
            line["act"] == "delete_job" and (line["task_id"], datetime.fromisoformat(line["scheduled_for"])) == slot
            for line in self.lines
        )

    def _some_schedule_fires(self, task_id: str, at: datetime) -> bool:
        known = self.tasks[task_id]
        if any(schedule["type"] == "now" for schedule in known.ever):
            return True
        return any(at in fires(schedule, at, at) for schedule in known.ever)

    def nothing_is_left(self) -> None:
        counts = self.api.get("/jobs/counts")
        for status in OPEN:
            if counts[status]:
                self.faults.append(f"{counts[status]} jobs are {status}")
        for job_id in self.deleted_jobs:
            if self.api.get(f"/jobs/{job_id}") is None and self.api.get(f"/jobs/{job_id}/logs") is not None:
                self.faults.append(f"job {job_id} is gone, its log is not")
        for task_id, known in self.tasks.items():
            if not known.deleted and self.api.get(f"/tasks/{task_id}") is None:
                self.faults.append(f"task {task_id} is gone")

    # --- one job ------------------------------------------------------------------------------------------------------

    def job_is_sound(self, row: dict[str, Any]) -> list[str]:
        job_id = row["job_id"]
        job = self.api.get(f"/jobs/{job_id}")
        if job is None:
            return [f"job {job_id} is listed and cannot be read"]
        runs = self.api.get(f"/jobs/{job_id}/runs?limit=100")["items"]
        faults = [*self._ended_once(job, runs)]
        if job["files"]:
            faults += self._files_are_whole(job)
        return [f"job {job_id} ({job['status']}): {each}" for each in faults]

    def _ended_once(self, job: dict[str, Any], runs: list[dict[str, Any]]) -> Iterator[str]:
        if job["status"] in OPEN or job["ended_at"] is None:
            yield "it has not ended"
        if job["status"] != "succeeded" and not job["reason"]:
            yield "no reason"
        numbers = sorted(run["run_no"] for run in runs)
        if numbers != list(range(1, job["run_no"] + 1)):
            yield f"its runs are {numbers}, and it counts {job['run_no']}"
        for run in runs:
            self.counts["runs"] += 1
            if run["ended_at"] is None or run["status"] in ("created", "running"):
                yield f"run {run['run_no']} has not ended: {run['status']}"
        good = sum(1 for run in runs if run["status"] == "succeeded")
        if good > 1 + self.reruns[job["job_id"]]:
            yield f"{good} runs succeeded, and it was run again {self.reruns[job['job_id']]} times"
        last = max(runs, key=lambda run: run["run_no"], default=None)
        if job["status"] == "succeeded" and (last is None or last["status"] != "succeeded"):
            yield "it succeeded, and its last run did not"
        if job["status"] == "succeeded" and not job["files"]:
            yield "it succeeded without a file"
        spans = sorted((run["started_at"], run["ended_at"]) for run in runs if run["started_at"] and run["ended_at"])
        for (_, end), (begin, _) in pairwise(spans):
            if begin < end:
                yield f"a run began at {begin}, before the one before ended at {end}"

    def _files_are_whole(self, job: dict[str, Any]) -> Iterator[str]:
        manifests = self.api.get(f"/jobs/{job['job_id']}/files")["items"]
        links = self.api.get(f"/jobs/{job['job_id']}/download")["items"]
        if len(links) != len(manifests):
            yield f"{len(manifests)} files and {len(links)} links"
            return
        for manifest, link in zip(manifests, links, strict=True):
            content = self.api.download(link["url"])
            if content is None:
                if job["job_id"] not in self.undone:
                    yield f"its file {manifest['file_name']} is gone"
                continue
            self.counts["files"] += 1
            self.counts["bytes of files"] += len(content)
            if len(content) != manifest["bytes"] or hashlib.sha256(content).hexdigest() != manifest["sha256"]:
                yield f"{len(content)} bytes came, the manifest says {manifest['bytes']}; or the hash differs"
                continue
            yield from rows_are_whole(content, manifest, job)


def rows_are_whole(content: bytes, manifest: dict[str, Any], job: dict[str, Any]) -> Iterator[str]:
    """The rows of the file are numbered 1 to the last, and carry the window of the job."""
    try:
        text = gzip.decompress(content).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        yield f"the file cannot be read: {error}"
        return
    rows = list(csv.DictReader(io.StringIO(text)))
    if len(rows) != manifest["rows"] or len(rows) not in (100, 5_000, 400_000):
        yield f"{len(rows)} rows came, the manifest says {manifest['rows']}"
    for number, row in enumerate(rows, 1):
        if row["n"] != str(number):
            yield f"row {number} says {row['n']}"
            return
    for name in ("window_start", "window_end"):
        told = {_instant(row[name]) for row in rows}
        if told != {_instant(job[name])}:
            yield f"the rows have {name} {sorted(map(str, told))}, the job has {job[name]}"


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    found = datetime.fromisoformat(text)
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return found.astimezone(UTC).replace(microsecond=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--api", required=True)
    parser.add_argument("--token", default=os.environ.get("CARILLON_TOKEN"), help="of an admin; else $CARILLON_TOKEN")
    parser.add_argument("--diary", type=Path, required=True)
    given = parser.parse_args()
    return report(Proof(HttpApi(given.api, given.token), diary.read(given.diary)))


def report(proof: Proof) -> int:
    """Prove, say what was counted and each fault; 1 when there is one."""
    begun = datetime.now(UTC)
    proof.prove()
    for name, count in sorted(proof.counts.items()):
        sys.stdout.write(f"{name:<24} {count:>12,}\n")
    for fault in proof.faults:
        sys.stdout.write(f"FAULT {fault}\n")
    took = (datetime.now(UTC) - begun) // timedelta(seconds=1)
    sys.stdout.write(f"{len(proof.faults)} faults, proved in {took} s\n")
    return 1 if proof.faults else 0


if __name__ == "__main__":
    sys.exit(main())
