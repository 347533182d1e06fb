"""What a job's runs logged: pages to look through and to follow, and files to take away.

A run's lines are in the table while it lives, in its archive once it has ended, and in the table again if they came
later. Nobody who reads here sees the difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib import retention
from chalicelib.core.instants import rfc3339
from chalicelib.core.lifecycle import ACTIVE, ENDED, OPEN, JobStatus
from chalicelib.core.log_lines import ALERTS, LEVELS, LogLine, as_json, as_text
from chalicelib.errors import Invalid, RunNotFound
from chalicelib.logs import archive as log_archive
from chalicelib.settings import settings
from chalicelib.storage import links
from chalicelib.storage.upload import Upload
from chalicelib.store import jobs as store
from chalicelib.store import logs as log_store
from chalicelib.store import runs as run_store
from chalicelib.store.job_record import JobRecord

LOG_PAGE = 200
LOG_PAGE_LIMIT = 1_000
SEARCH_LIMIT = 200
# A search that finds little is answered after so many lines, with a cursor to go on: a second's work.
LINES_PER_ANSWER = 50_000
# Lambda answers with 6 MB at most, in which a character of a message may take twelve bytes.
CHARACTERS_PER_ANSWER = 400_000
# What `level` may ask for, and the levels it shows.
VIEWS = {"all": frozenset(LEVELS), "alert": ALERTS, **{level: frozenset({level}) for level in LEVELS}}
# For each format: how the file's name ends, what it is, and how a line looks.
FORMATS = {
    "text": ("log", "text/plain; charset=utf-8", as_text),
    "jsonl": ("jsonl", "application/x-ndjson", as_json),
}
# Where an answer ended: the run and the last line looked at.
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
    """Lines of one run (the last, unless named) after the cursor, and the cursor to go on or to follow with.

    `level`: all, alert (WARN and ERROR), or one level. `search`: text to be found in the message, in any case. While
    lines may still come, the cursor is not None; one from an answer for no run in particular goes on into the runs
    that came after. There may be fewer lines than `limit`, and none, before the end.
    """
    if not 1 <= limit <= LOG_PAGE_LIMIT:
        raise Invalid(f"limit must be 1 to {LOG_PAGE_LIMIT}.", field="limit")
    if search is not None and len(search) > SEARCH_LIMIT:
        raise Invalid(f"search must be at most {SEARCH_LIMIT} characters.", field="search")
    shown, needle = _shown(level), (search or "").casefold()
    job = store.get(job_id)
    number, last = _start_of(job, run, cursor)
    lines: list[dict[str, Any]] = []
    more, characters = False, 0
    for looked_at, line in enumerate(_lines(job, number, alerts=shown <= ALERTS, after=last)):
        if len(lines) == limit or looked_at == LINES_PER_ANSWER or characters >= CHARACTERS_PER_ANSWER:
            more = True
            break
        last = line.sequence
        if line.level in shown and needle in line.message.casefold():
            lines.append({**asdict(line), "run_no": number})
            characters += len(line.message)
    if more or (number == job.run_no and job.status in OPEN):
        return lines, f"{number}-{last}"
    return lines, f"{number + 1}-0" if run is None and number < job.run_no else None


def download(
    job_id: str, *, run: int | None = None, level: str = "all", format: str = "text", now: datetime
) -> dict[str, Any]:
    """A link to a file of one run's lines so far; it lives for minutes and is never to be logged.

    `format`: text, as a person reads it, or jsonl, a JSON object on each line. The file lies beside the archive, and
    goes with it.
    """
    if format not in FORMATS:
        raise Invalid(f"format must be one of {', '.join(FORMATS)}.", field="format")
    ending, content_type, form = FORMATS[format]
    shown = _shown(level)
    job = store.get(job_id)
    number, _ = _start_of(job, run, None)
    name = f"{number}-{level}.{ending}"
    key = f"{log_archive.folder(job)}download/{name}"
    with Upload(links.s3(), settings().bucket, key, content_type=content_type) as upload:
        for line in _lines(job, number, alerts=shown <= ALERTS, after=0):
            if line.level in shown:
                upload.write(f"{form(line)}\n".encode())
        upload.complete()
    seconds = settings().link_seconds
    name = f"{job_id}-{name}"
    return {
        "name": name,
        "url": links.link(key, file_name=name, seconds=seconds),
        "expires_at": rfc3339(now + timedelta(seconds=seconds)),
    }


def _shown(level: str) -> frozenset[str]:
    if level not in VIEWS:
        raise Invalid(f"level must be one of {', '.join(VIEWS)}.", field="level")
    return VIEWS[level]


def _start_of(job: JobRecord, run: int | None, cursor: str | None) -> tuple[int, int]:
    """The run to read, and the line to read behind."""
    last_run = int(job.run_no)
    number, sequence = last_run if run is None else run, 0
    if cursor is not None:
        found = CURSOR.fullmatch(cursor)
        if found is None or int(found[1]) > last_run or (run is not None and int(found[1]) != run):
            raise Invalid("cursor must be one that an answer for the same run gave.", field="cursor")
        number, sequence = int(found[1]), int(found[2])
    if not 0 <= number <= last_run:
        raise RunNotFound(f"Job {job.job_id} has no run {number}.")
    return number, sequence


# --- where the lines are ----------------------------------------------------------------------------------------------


def _lines(job: JobRecord, number: int, *, alerts: bool, after: int) -> Iterator[LogLine]:
    """The run's lines with a sequence above `after`, in order. With `alerts` at least those; few others."""
    over = number < job.run_no or job.status not in ACTIVE
    # A job that no run has begun has lines of its own, which are few.
    whole_table = number == 0
    archived = None
    if over and number > 0:
        archive = log_archive.find(job, number, alerts=alerts)
        if archive is not None:
            yield from archive.lines(after=after)
            archived = archive.index.last
        else:
            archived = log_archive.last_sequence(job, number) if alerts else None
        if archived is not None:
            # What came after the archive is little, and its alerts stand among the rest.
            after, whole_table = max(after, archived), True
    # An archive ends where a chunk does.
    behind = archived is not None and after == archived
    for line in log_store.read(job.job_id, number, alerts=alerts and not whole_table, after=after, whole=behind):
        after = line.sequence
        yield line
    end = _end(job, number) if over else None
    if end is not None and end.sequence > after:
        yield end


def _end(job: JobRecord, number: int) -> LogLine | None:
    """The line that says why the job ended, when no run knew: it stood in line too long, it was skipped or canceled.

    The job's record says so already. It is read from there, so that ending thousands of waiting jobs costs no write
    for their logs; only a re-run, which clears the record, writes it down (`keep_end`).
    """
    if number != job.run_no or job.status not in ENDED or job.ended_at is None:
        return None
    if number > 0:
        run = None if job.error is None else run_store.find(job.job_id, number)
        if run is None or run.error == job.error:
            return None
    level = "INFO" if job.status == JobStatus.SKIPPED else "WARN"
    message = job.error or f"{job.status}: {job.reason}"
    last = log_store.last_line(job.job_id, number)
    before = 0 if last is None else last.sequence
    if number > 0:
        before = max(before, log_archive.last_sequence(job, number) or 0)
    end = LogLine(before + 1, rfc3339(job.ended_at), level, "end", message)
    return None if last is not None and last == replace(end, sequence=last.sequence) else end


def archive_tail(job: JobRecord, *, now: datetime) -> None:
    """Write down why an ended job ended, before a re-run clears it from the record. Repeating it changes nothing."""
    end = _end(job, int(job.run_no))
    if end is not None:
        expires_at = retention.expires_at(job.kind, now) + log_store.KEPT
        log_store.append(job.job_id, int(job.run_no), [end], after=end.sequence - 1, now=now, expires_at=expires_at)
