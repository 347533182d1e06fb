"""Log lines of runs that are not archived yet, in chunks of many lines per item. Alert lines are written a second time
under a key of their own, so that the alert view never reads the others.

The chunks of a run follow each other without a gap, each put under the sequence of its first line on condition that
there is none. So several may write to one log, a worker and a sweep that took it for lost: one of two who take the same
number is refused, and goes on behind the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pynamodb.attributes import BinaryAttribute, NumberAttribute, TTLAttribute, UnicodeAttribute

from chalicelib.core.log_lines import ALERTS, LogLine, as_json, from_json
from chalicelib.store.base import Record, deleted, saved, table_name

# A chunk has at most so many lines, and CHUNK_BYTES before it is compressed, ten to one as a rule.
CHUNK_LINES = 2_000
# Longer than any run and its repair take: by then the lines are in the archive.
KEPT = timedelta(days=7)
# Chunks asked for at once when reading on: twice as many each time, so that a page of small chunks takes few calls and
# one of large chunks does not read far past its end.
FIRST_READ = 2
LARGEST_READ = 64


class LogRecord(Record):
    class Meta:
        table_name = table_name("logs")

    run = UnicodeAttribute(hash_key=True)
    # The sequence of the chunk's first line.
    sequence = NumberAttribute(range_key=True)
    # JSON Lines, deflated.
    packed = BinaryAttribute(legacy_encoding=False)
    line_count = NumberAttribute()
    expires_at = TTLAttribute()


def key_of(job_id: str, run_no: int, *, alerts: bool = False) -> str:
    return f"{job_id}-{run_no}-alerts" if alerts else f"{job_id}-{run_no}"


def append(
    job_id: str, run_no: int, lines: Sequence[LogLine], *, after: int, now: datetime, expires_at: datetime | None = None
) -> list[LogLine]:
    """Write one chunk behind the line `after`, or behind the lines others wrote there; gives the lines as numbered."""
    key, kept = key_of(job_id, run_no), expires_at or now + KEPT
    while True:
        numbered = [replace(line, sequence=after + number) for number, line in enumerate(lines, 1)]
        chunk = _chunk(key, numbered, kept)
        if saved(chunk, LogRecord.run.does_not_exist()):
            break
        there = next(iter(LogRecord.query(key, LogRecord.sequence == after + 1, consistent_read=True)), None)
        if there is not None and there.packed == chunk.packed:
            break  # our own chunk: the first try had succeeded, and its answer was lost
        after = last_sequence(job_id, run_no)
    alerts = [line for line in numbered if line.level in ALERTS]
    # The log of a job without a run has few lines: readers find the alerts among them.
    if alerts and expires_at is None:
        saved(_chunk(key_of(job_id, run_no, alerts=True), alerts, kept), None)
    return numbered


def _chunk(key: str, lines: Sequence[LogLine], expires_at: datetime) -> LogRecord:
    text = "\n".join(as_json(line) for line in lines)
    packed = zlib.compress(text.encode())
    return LogRecord(key, lines[0].sequence, packed=packed, line_count=len(lines), expires_at=expires_at)


def _unpacked(record: LogRecord) -> list[LogLine]:
    return [from_json(line) for line in zlib.decompress(record.packed).split(b"\n")]


def read(job_id: str, run_no: int, *, alerts: bool = False, after: int = 0, whole: bool = False) -> Iterator[LogLine]:
    """The run's lines with a sequence above `after`, in order. Reads little further than the caller iterates.

    `whole`: the line `after` is the last of its chunk, and that chunk need not be read.
    """
    key = key_of(job_id, run_no, alerts=alerts)
    if after and not whole:
        # The chunk that the next line is in, so that following a log reads its end only.
        for line in [] if (found := _newest(key, LogRecord.sequence <= after + 1)) is None else _unpacked(found):
            if line.sequence > after:
                after = line.sequence
                yield line
    count = FIRST_READ
    while True:
        records = list(LogRecord.query(key, LogRecord.sequence > after, consistent_read=True, limit=count))
        for record in records:
            for line in _unpacked(record):
                after = line.sequence
                yield line
        if len(records) < count:
            return
        count = min(2 * count, LARGEST_READ)


def last_sequence(job_id: str, run_no: int) -> int:
    """The sequence of the last line in the table; 0 when there is none."""
    found = _newest(key_of(job_id, run_no))
    return 0 if found is None else int(found.sequence + found.line_count) - 1


def last_line(job_id: str, run_no: int) -> LogLine | None:
    found = _newest(key_of(job_id, run_no))
    return None if found is None else _unpacked(found)[-1]


def _newest(key: str, condition: object = None) -> LogRecord | None:
    found = LogRecord.query(key, condition, scan_index_forward=False, limit=1, consistent_read=True)  # type: ignore[arg-type]
    return next(iter(found), None)


def remove(job_id: str, run_no: int) -> None:
    """Delete the run's lines."""
    for alerts in (False, True):
        key = key_of(job_id, run_no, alerts=alerts)
        for record in LogRecord.query(key, attributes_to_get=["run", "sequence"]):
            deleted(record, None)
