"""Reads what a job's runs logged: in pages, which can be followed while a run lives, and as a file to download.

A run's lines are in the table while it lives and in its archive once it has ended; lines written after the archive are
in the table again. A reader of this module sees one log.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.instants import rfc3339
from chalicelib.core.lifecycle import ACTIVE, OPEN
from chalicelib.core.log_lines import ALERTS, LEVELS, LogLine, as_json, as_text
from chalicelib.errors import Invalid, RunNotFound
from chalicelib.logs import archive as log_archive
from chalicelib.logs import end_line
from chalicelib.settings import settings
from chalicelib.storage.bucket import s3
from chalicelib.storage.links import presigned_link
from chalicelib.storage.upload import Upload
from chalicelib.store import jobs as store
from chalicelib.store import logs as log_store
from chalicelib.store.job_record import JobRecord

LOG_PAGE = 200
LOG_PAGE_LIMIT = 1_000
SEARCH_LIMIT = 200
# A search that finds little answers after reading this many lines, about a second's work, with a cursor to go on.
LINES_PER_ANSWER = 50_000
# Lambda answers with 6 MB at most, in which a character of a message may take twelve bytes.
CHARACTERS_PER_ANSWER = 400_000
# Each value of `level`, and the levels it shows.
VIEWS = {"all": frozenset(LEVELS), "alert": ALERTS, **{level: frozenset({level}) for level in LEVELS}}
# Each format: the ending of the file's name, its content type, and the form of a line.
FORMATS = {
    "text": ("log", "text/plain; charset=utf-8", as_text),
    "jsonl": ("jsonl", "application/x-ndjson", as_json),
}
# Where an answer ended: the run and the last line that was read.
CURSOR = re.compile(r"(\d{1,9})-(\d{1,12})", re.ASCII)


def read_page(
    job_id: str,
    *,
    run: int | None = None,
    level: str = "all",
    search: str | None = None,
    cursor: str | None = None,
    limit: int = LOG_PAGE,
) -> tuple[list[dict[str, Any]], str | None]:
    """Lines of one run after the cursor, and the cursor of the next page. `run` None means the last run.

    `level`: all, alert (WARN and ERROR), or one level. `search`: text that the message holds, in any case. The cursor
    is None once no more lines can come. Where `run` is None, the cursor leads on into the runs that came after. A page
    may have fewer lines than `limit`, or none, before the end. Raises Invalid, JobNotFound, RunNotFound.
    """
    if not 1 <= limit <= LOG_PAGE_LIMIT:
        raise Invalid(f"limit must be 1 to {LOG_PAGE_LIMIT}.", field="limit")
    if search is not None and len(search) > SEARCH_LIMIT:
        raise Invalid(f"search must be at most {SEARCH_LIMIT} characters.", field="search")
    shown, needle = _shown(level), (search or "").casefold()
    job = store.get(job_id)
    run_no, last = _start(job, run, cursor)
    lines: list[dict[str, Any]] = []
    more, characters = False, 0
    for lines_read, line in enumerate(_lines(job, run_no, alerts=shown <= ALERTS, after=last)):
        if len(lines) == limit or lines_read == LINES_PER_ANSWER or characters >= CHARACTERS_PER_ANSWER:
            more = True
            break
        last = line.sequence
        if line.level in shown and needle in line.message.casefold():
            lines.append({**asdict(line), "run_no": run_no})
            characters += len(line.message)
    if more or (run_no == job.run_no and job.status in OPEN):
        return lines, f"{run_no}-{last}"
    return lines, f"{run_no + 1}-0" if run is None and run_no < job.run_no else None


def download(
    job_id: str, *, run: int | None = None, level: str = "all", format: str = "text", now: datetime
) -> dict[str, Any]:
    """Write one run's lines so far to a file; its name, and a link to it that lives for minutes. Never log the link.

    `format`: text, as a person reads it, or jsonl, one JSON object per line. The file lies beside the archive and
    expires with it.
    """
    if format not in FORMATS:
        raise Invalid(f"format must be one of {', '.join(FORMATS)}.", field="format")
    ending, content_type, as_line = FORMATS[format]
    shown = _shown(level)
    job = store.get(job_id)
    run_no, _ = _start(job, run, None)
    name = f"{run_no}-{level}.{ending}"
    key = f"{log_archive.folder(job)}download/{name}"
    with Upload(s3(), settings().bucket, key, content_type=content_type) as upload:
        for line in _lines(job, run_no, alerts=shown <= ALERTS, after=0):
            if line.level in shown:
                upload.write(f"{as_line(line)}\n".encode())
        upload.complete()
    seconds = settings().link_seconds
    name = f"{job_id}-{name}"
    return {
        "name": name,
        "url": presigned_link(key, file_name=name, seconds=seconds),
        "expires_at": rfc3339(now + timedelta(seconds=seconds)),
    }


def _shown(level: str) -> frozenset[str]:
    if level not in VIEWS:
        raise Invalid(f"level must be one of {', '.join(VIEWS)}.", field="level")
    return VIEWS[level]


def _start(job: JobRecord, run: int | None, cursor: str | None) -> tuple[int, int]:
    """The run to read, and the sequence to read after."""
    last_run = int(job.run_no)
    run_no, sequence = last_run if run is None else run, 0
    if cursor is not None:
        found = CURSOR.fullmatch(cursor)
        if found is None or int(found[1]) > last_run or (run is not None and int(found[1]) != run):
            raise Invalid("cursor must be one that an answer for the same run gave.", field="cursor")
        run_no, sequence = int(found[1]), int(found[2])
    if not 0 <= run_no <= last_run:
        raise RunNotFound(f"Job {job.job_id} has no run {run_no}.")
    return run_no, sequence


# --- sources of lines -------------------------------------------------------------------------------------------------

# Yields the lines of one source that come after a sequence, in order; returns the sequence it has read up to.
Source = Generator[LogLine, None, int]


def _lines(job: JobRecord, run_no: int, *, alerts: bool, after: int) -> Iterator[LogLine]:
    """The run's lines with a sequence above `after`, in order. With `alerts` at least those; few others."""
    if run_no == 0:
        # Run 0 holds why a job ended before its first run: few lines, whose alerts are not kept apart.
        after = yield from _table(job, run_no, alerts=False, after=after)
    elif run_no == job.run_no and job.status in ACTIVE:
        after = yield from _table(job, run_no, alerts=alerts, after=after)
    else:
        archived = yield from _archive(job, run_no, alerts=alerts, after=after)
        if archived is None:
            after = yield from _table(job, run_no, alerts=alerts, after=after)
        else:
            after = yield from _table_after_archive(job, run_no, archived=archived, after=after)
    end = end_line.find(job, run_no)
    if end is not None and end.sequence > after:
        yield end


def _table(job: JobRecord, run_no: int, *, alerts: bool, after: int) -> Source:
    for line in log_store.read(job.job_id, run_no, alerts=alerts, after=after):
        after = line.sequence
        yield line
    return after


def _archive(job: JobRecord, run_no: int, *, alerts: bool, after: int) -> Generator[LogLine, None, int | None]:
    """Yields archived lines, or alerts alone; returns the last sequence archived of all lines, None if none was."""
    archive = log_archive.find(job, run_no, alerts=alerts)
    if archive is not None:
        yield from archive.lines(after=after)
        return archive.index.last
    # A run without an alert has no archive of alerts.
    return log_archive.last_sequence(job, run_no) if alerts else None


def _table_after_archive(job: JobRecord, run_no: int, *, archived: int, after: int) -> Source:
    """Yields lines written after the archive. They are few, so this reads all of them, also for the alerts."""
    after = max(after, archived)
    # An archive ends where a chunk does.
    at_chunk_end = after == archived
    for line in log_store.read(job.job_id, run_no, after=after, whole=at_chunk_end):
        after = line.sequence
        yield line
    return after
