"""The last line of a log that no run wrote: why the job ended while no run was at work, e.g. it waited too long.

The job's record already says so. The line is read from there, so ending thousands of waiting jobs costs no write for
their logs. Only a re-run, which clears the record, writes the line down first.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chalicelib import retention
from chalicelib.core.instants import rfc3339
from chalicelib.core.lifecycle import ENDED, JobStatus
from chalicelib.core.log_lines import LogLine
from chalicelib.logs import archive as log_archive
from chalicelib.store import logs as log_store
from chalicelib.store import runs as run_store
from chalicelib.store.job_record import JobRecord


def find(job: JobRecord, run_no: int) -> LogLine | None:
    """The line to show behind the log of the last run; None when the run itself ended the job, or the line is written.

    Run 0 stands for a job that ended before its first run.
    """
    if run_no != job.run_no or job.status not in ENDED or job.ended_at is None:
        return None
    if run_no > 0:
        run = None if job.error is None else run_store.find(job.job_id, run_no)
        if run is None or run.error == job.error:
            return None
    level = "INFO" if job.status == JobStatus.SKIPPED else "WARN"
    message = job.error or f"{job.status}: {job.reason}"
    last = log_store.last_line(job.job_id, run_no)
    before = 0 if last is None else last.sequence
    if run_no > 0:
        before = max(before, log_archive.last_sequence(job, run_no) or 0)
    line = LogLine(before + 1, rfc3339(job.ended_at), level, "end", message)
    written = last is not None and last == replace(line, sequence=last.sequence)
    return None if written else line


def write(job: JobRecord, *, now: datetime) -> None:
    """Write the line to the table, before a re-run clears it from the record. Repeating it changes nothing."""
    run_no = int(job.run_no)
    line = find(job, run_no)
    if line is not None:
        expires_at = retention.expires_at(job.kind, now) + log_store.KEPT
        log_store.append(job.job_id, run_no, [line], after=line.sequence - 1, now=now, expires_at=expires_at)
