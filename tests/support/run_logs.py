"""Logs of runs for tests: runs that log, their lines as read back, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.logs import archive as log_archive
from chalicelib.logs import reader as log_reader
from chalicelib.store import base
from chalicelib.store import jobs as job_store
from chalicelib.store import logs as log_store
from chalicelib.store.job_record import JobRecord
from tests.support.probe import started
from tests.support.simulator import PROBE, Stage


@dataclass
class Traffic:
    """Counts the calls, bytes and units that go to and come from the log table and the bucket."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    write_units: int = 0
    largest_item: int = 0
    chunks_read: int = 0
    bytes_read: int = 0

    def count(self, operation: str, *, of: str = "") -> int:
        return sum(1 for name, key in self.calls if name == operation and of in key)

    def sent(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if model.service_model.service_name == "s3":
            self.calls.append((model.name, str(params.get("Key", ""))))
        elif params.get("TableName", "").endswith("-logs"):
            self.calls.append((model.name, ""))
            if model.name == "PutItem":
                size = sum(len(name) + _size(value) for name, value in params["Item"].items())
                self.write_units += math.ceil(size / 1024)
                self.largest_item = max(self.largest_item, size)

    def received(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if model.name == "Query" and any("packed" in item for item in parsed.get("Items", [])):
            self.chunks_read += len(parsed["Items"])
        elif model.name == "GetObject" and "ContentLength" in parsed:
            self.bytes_read += parsed["ContentLength"]


def _size(value: dict[str, Any]) -> int:
    (plain,) = value.values()
    return len(plain) if isinstance(plain, bytes) else len(str(plain).encode())


@contextmanager
def traffic() -> Iterator[Traffic]:
    found = Traffic()
    clients = [base.client(), log_archive.s3()]
    for each in clients:
        each.meta.events.register_last("before-parameter-build", found.sent, unique_id="tests-sent")
        each.meta.events.register("after-call", found.received, unique_id="tests-received")
    try:
        yield found
    finally:
        for each in clients:
            each.meta.events.unregister("before-parameter-build", unique_id="tests-sent")
            each.meta.events.unregister("after-call", unique_id="tests-received")


def pages(job: JobRecord, **arguments: Any) -> list[dict[str, Any]]:
    """All lines, read page by page; of an open job, the lines so far."""
    found, before, cursor = [], "", None
    while cursor != before:
        before = cursor
        lines, cursor = log_reader.read_page(job.job_id, cursor=cursor, **arguments)
        found += lines
        if cursor is None:
            break
    return found


def messages(job: JobRecord, **arguments: Any) -> list[str]:
    return [line["message"] for line in pages(job, **arguments)]


def expire(stage: Stage, job: JobRecord) -> None:
    """Empty the log table of the job, as the time to live of its items does."""
    for run_no in range(1, int(job_store.get(job.job_id).run_no) + 1):
        log_store.remove(job.job_id, run_no)
    assert not [item for item in stage.world.items("logs") if not item["run"].startswith(f"{job.job_id}-0")]


def log_450_lines(context: RunContext) -> Outcome:
    for number in range(450):
        context.log("WARN" if number % 100 == 0 else "INFO", f"line {number} of ÄÖ 報告")
    context.log("DEBUG", r"50% of [a-z]+ \d (x|y)", type="probe", picture="files/probe/1/1/shot.png")
    return Outcome()


def job_with_log(stage: Stage, **changes: Any) -> JobRecord:
    """An ended job whose run logged 453 lines: 450 numbered ones, five of them warnings, between its begin and end."""
    PROBE.behaviour = log_450_lines
    job = started(stage, **changes)
    stage.deliver()
    return job
