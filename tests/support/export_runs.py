"""A run's context in memory, and a world of records for the export kind. Makers take overrides only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chalicelib.errors import Stopped
from chalicelib.kinds.protocol import JobFacts, Outcome
from chalicelib.kinds.report_export.kind import Ports, ReportExport
from tests.support.postgres import PostgresServer
from tests.support.s3 import BUCKET

REPORT = {
    "name": "Flights",
    "source_id": "S1",
    "queries": [{"name": "main", "sql": "SELECT n, 'x' || n AS word FROM generate_series(1, :top) AS n"}],
    "parameters": [{"name": "top", "type": "integer", "default": 3}],
}
# Queries that make a file of several parts, and that need a window.
BIG = [{"name": "big", "sql": "SELECT n, repeat(md5(n::text), 9) AS word FROM generate_series(1, 60000) AS n"}]
WINDOWED = [{"name": "q", "sql": "SELECT ':window_end' AS a WHERE :window_start_date < now()"}]


def facts(**overrides: Any) -> JobFacts:
    values: dict[str, Any] = {
        "job_id": "J1",
        "run_no": 1,
        "kind": "report_export",
        "task_id": "T1",
        "task_name": "Daily flights",
        "spec": {"report_id": "R1"},
        "parameters": {},
        "scheduled_for": datetime(2013, 2, 1, 18, 0, tzinfo=UTC),
        "window_start": datetime(2013, 1, 31, 16, 0, tzinfo=UTC),
        "window_end": datetime(2013, 2, 1, 16, 0, tzinfo=UTC),
        "timezone": "Asia/Shanghai",
    }
    return JobFacts(**(values | overrides))


@dataclass
class FakeRun:
    """Implements kinds.protocol.RunContext."""

    facts: JobFacts
    lines: list[tuple[str, str]] = field(default_factory=list)
    definition: dict[str, Any] | None = None
    rows: int | None = None
    bytes: int | None = None
    stopping: bool = False
    interrupt: Callable[[], None] | None = None
    begun: threading.Event = field(default_factory=threading.Event)
    on_line: Callable[[str], None] = lambda message: None

    def log(self, level: str, message: str, *, type: str = "run", picture: str | None = None) -> None:
        self.lines.append((level, message))
        self.on_line(message)
        if "begun" in message:
            self.begun.set()

    def define(self, definition: Mapping[str, Any]) -> None:
        self.definition = dict(definition)

    def progress(self, *, rows: int | None = None, bytes: int | None = None) -> None:
        self.rows = self.rows if rows is None else rows
        self.bytes = self.bytes if bytes is None else bytes

    def on_stop(self, interrupt: Callable[[], None] | None) -> None:
        self.interrupt = interrupt
        if interrupt is not None and self.stopping:
            interrupt()

    def check(self) -> None:
        if self.stopping:
            raise Stopped()

    def stop(self) -> None:
        self.stopping = True
        if self.interrupt is not None:
            self.interrupt()

    @property
    def text(self) -> str:
        return "\n".join(message for _, message in self.lines)


@dataclass
class Records:
    """What the kind's ports give out."""

    client: Any
    report: dict[str, Any] | None = None
    source: dict[str, Any] | None = None
    secret: str | None = None
    data_folder: Path | None = None
    kind: str = "postgres"

    @classmethod
    def of(cls, client: Any, postgres: PostgresServer, **report: Any) -> Records:
        source = {"name": "sales", "kind": "postgres", "settings": postgres.settings}
        return cls(client, {**REPORT, **report}, source, postgres.password)

    def export(self) -> ReportExport:
        return ReportExport(
            Ports(
                load_report=lambda report_id: self.report,
                load_source=lambda source_id: self.source,
                load_secret=lambda source_id, version: self.secret,
                s3=lambda: self.client,
                bucket=BUCKET,
                data_folder=self.data_folder,
            )
        )


def run(records: Records, **overrides: Any) -> tuple[Outcome, FakeRun]:
    context = FakeRun(facts(**overrides))
    return records.export().run(context), context


def body(client: Any, outcome: Outcome, number: int = 0) -> bytes:
    """The content of one of the run's files."""
    content: bytes = client.get_object(Bucket=BUCKET, Key=outcome.files[number]["key"])["Body"].read()
    return content
