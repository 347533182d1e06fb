"""The lines that a job's runs wrote."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from chalicelib.core.lifecycle import OPEN
from chalicelib.errors import Invalid, RunNotFound
from chalicelib.store import jobs as store
from chalicelib.store import logs as log_store

LOG_PAGE = 200
LOG_PAGE_LIMIT = 1_000


def logs(
    job_id: str,
    *,
    run: int | None = None,
    level: str = "all",
    search: str | None = None,
    cursor: str | None = None,
    limit: int = LOG_PAGE,
) -> tuple[list[dict[str, Any]], str | None]:
    """Lines of one run (the last, unless named) after the cursor, and the cursor to go on or to follow with.

    `level`: all, alert (WARN and ERROR), or one level. The cursor is never None while the job is open: lines may come.
    """
    job = store.get(job_id)
    number = int(job.run_no) if run is None else run
    if number > job.run_no or number < 0:
        raise RunNotFound(f"Job {job_id} has no run {number}.")
    if level not in ("all", "alert", "DEBUG", "INFO", "WARN", "ERROR"):
        raise Invalid("level must be all, alert, DEBUG, INFO, WARN or ERROR.", field="level")
    if not 1 <= limit <= LOG_PAGE_LIMIT:
        raise Invalid(f"limit must be 1 to {LOG_PAGE_LIMIT}.", field="limit")
    if cursor is not None and not cursor.isdigit():
        raise Invalid("cursor must be one that an answer gave.", field="cursor")
    last = int(cursor or 0)
    lines: list[dict[str, Any]] = []
    more = False
    for found in log_store.read(job_id, number, alerts=level in ("alert", "WARN", "ERROR"), after=last):
        if len(lines) == limit:
            more = True
            break
        last = found.sequence
        if level in ("all", "alert", found.level) and (search is None or search.casefold() in found.message.casefold()):
            lines.append({**asdict(found), "run_no": number})
    return lines, str(last) if more or job.status in OPEN else None
