"""Log lines of runs, in chunks of many lines per item. Alert lines are written a second time under a key of their own,
so that the alert view never reads the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from pynamodb.attributes import NumberAttribute, TTLAttribute, UnicodeAttribute

from chalicelib.settings import settings
from chalicelib.store.base import Record, table_name

ALERTS = frozenset({"WARN", "ERROR"})


@dataclass(frozen=True)
class LogLine:
    """One line; `sequence` counts from 1 within its run. `time` is RFC 3339 text."""

    sequence: int
    time: str
    level: str
    type: str
    message: str


class LogRecord(Record):
    class Meta:
        table_name = table_name("logs")

    run = UnicodeAttribute(hash_key=True)
    # The sequence of the chunk's first line.
    sequence = NumberAttribute(range_key=True)
    lines = UnicodeAttribute()
    line_count = NumberAttribute()
    expires_at = TTLAttribute()


def key_of(job_id: str, run_no: int, *, alerts: bool = False) -> str:
    return f"{job_id}-{run_no}-alerts" if alerts else f"{job_id}-{run_no}"


def write(job_id: str, run_no: int, lines: Sequence[LogLine], *, now: datetime) -> None:
    """Write a chunk; the alert lines among them first, so that a line in the alert view is never missing from it."""
    expires_at = now + timedelta(days=settings().log_retention_days)
    alerts = [line for line in lines if line.level in ALERTS]
    for key, chunk in ((key_of(job_id, run_no, alerts=True), alerts), (key_of(job_id, run_no), lines)):
        if chunk:
            text = json.dumps([asdict(line) for line in chunk], separators=(",", ":"), ensure_ascii=False)
            LogRecord(key, chunk[0].sequence, lines=text, line_count=len(chunk), expires_at=expires_at).save()


def read(job_id: str, run_no: int, *, alerts: bool = False, after: int = 0) -> Iterator[LogLine]:
    """The run's lines with a sequence above `after`, in order."""
    key = key_of(job_id, run_no, alerts=alerts)
    start = _chunk_with(key, after) if after else 0
    for record in LogRecord.query(key, LogRecord.sequence >= start, consistent_read=True):
        for line in json.loads(record.lines):
            if line["sequence"] > after:
                yield LogLine(**line)


def _chunk_with(key: str, sequence: int) -> int:
    """The first sequence of the chunk that holds the line, so that following a log reads its end only."""
    found = LogRecord.query(
        key, LogRecord.sequence <= sequence, scan_index_forward=False, limit=1, consistent_read=True
    )
    return next((int(record.sequence) for record in found), 0)
