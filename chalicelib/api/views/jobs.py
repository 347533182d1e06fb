"""Jobs: lists, details, attempts, logs, files, and what people may do to one."""

from __future__ import annotations

from typing import Any

from chalicelib.api.idempotency import Answer
from chalicelib.api.models.base import Listing
from chalicelib.api.models.job_filters import job_filter
from chalicelib.api.models.jobs import (
    Counts,
    DownloadQuery,
    Files,
    JobDetail,
    JobDetailQuery,
    JobOut,
    JobQuery,
    JobRow,
    Links,
    LogDownloadQuery,
    LogLink,
    LogQuery,
    Logs,
    PriorityIn,
    RunQuery,
    Runs,
)
from chalicelib.api.operation import Call, operation
from chalicelib.api.shown import page_with_source_names
from chalicelib.errors import FileNotAvailable, JobNotFound, RunNotFound, WrongState
from chalicelib.jobs import actions
from chalicelib.jobs import detail as job_detail
from chalicelib.jobs import files as job_files
from chalicelib.jobs import listing as job_listing
from chalicelib.logs import reader as log_reader
from chalicelib.queue import pools, position


@operation("GET", "/jobs", query=JobQuery, answer=Listing[JobRow], summary="List jobs, newest first")
def list_jobs(call: Call) -> Any:
    query = call.query
    wanted = job_filter(query.model_dump(), now=call.now)
    found = job_listing.listing(wanted, now=call.now, sort=query.sort, page=query.page, page_size=query.page_size)
    return page_with_source_names(found)


@operation("GET", "/jobs/counts", answer=Counts, summary="Exact numbers of jobs that wait or run")
def count_jobs(call: Call) -> Any:
    rows = pools.counts()
    sums = {status: sum(row[status] for row in rows) for status in ("waiting", "assigned", "running")}
    return {**sums, "pools": rows}


@operation(
    "GET",
    "/jobs/{job_id}",
    query=JobDetailQuery,
    answer=JobDetail,
    errors=(JobNotFound, RunNotFound),
    summary="Read a job: what it was to do, what it did, when, why not, and at what cost",
)
def get_job(call: Call, job_id: str) -> Any:
    job = job_detail.get(job_id)
    return job_detail.whole_record(job, run_no=call.query.run) | {"queue": position.position_of(job, now=call.now)}


@operation(
    "PATCH",
    "/jobs/{job_id}",
    body=PriorityIn,
    answer=JobOut,
    errors=(JobNotFound, WrongState),
    summary="Change a job's priority; it counts at the next claim",
)
def set_job_priority(call: Call, job_id: str) -> Any:
    job = actions.set_priority(job_id, call.body.priority, actor=call.actor, now=call.now)
    return job_detail.columns_of(job) | {"queue": position.position_of(job, now=call.now)}


@operation(
    "DELETE",
    "/jobs/{job_id}",
    errors=(JobNotFound, WrongState),
    summary="Delete an ended job, its runs and its files",
)
def delete_job(call: Call, job_id: str) -> Any:
    return actions.delete(job_id, actor=call.actor, now=call.now)


@operation(
    "GET",
    "/jobs/{job_id}/runs",
    query=RunQuery,
    answer=Runs,
    errors=(JobNotFound,),
    summary="A job's attempts, newest first",
)
def list_runs(call: Call, job_id: str) -> Any:
    return {"items": job_detail.runs(job_id, limit=call.query.limit)}


@operation(
    "GET",
    "/jobs/{job_id}/logs",
    query=LogQuery,
    answer=Logs,
    errors=(JobNotFound, RunNotFound),
    summary="Lines of one attempt's log",
)
def read_logs(call: Call, job_id: str) -> Any:
    lines, cursor = log_reader.read_page(job_id, **call.query.model_dump())
    return {"items": lines, "next_cursor": cursor}


@operation(
    "GET",
    "/jobs/{job_id}/logs/download",
    query=LogDownloadQuery,
    answer=LogLink,
    errors=(JobNotFound, RunNotFound),
    summary="A link to one attempt's log as a file, good for minutes",
)
def download_logs(call: Call, job_id: str) -> Any:
    return log_reader.download(job_id, **call.query.model_dump(), now=call.now)


@operation(
    "GET",
    "/jobs/{job_id}/files",
    answer=Files,
    errors=(JobNotFound, FileNotAvailable),
    summary="The manifests of a job's files",
)
def list_files(call: Call, job_id: str) -> Any:
    return {"items": job_files.manifests(job_id)}


@operation(
    "GET",
    "/jobs/{job_id}/download",
    query=DownloadQuery,
    answer=Links,
    errors=(JobNotFound, FileNotAvailable),
    more_answers={"302": "With `redirect=1`: the file itself"},
    summary="Links to a job's files, good for minutes",
)
def download_files(call: Call, job_id: str) -> Any:
    if not call.query.redirect:
        return {"items": job_files.links(job_id, n=call.query.n, now=call.now)}
    return Answer(302, headers={"Location": job_files.link(job_id, n=call.query.n, now=call.now)["url"]})


@operation(
    "POST",
    "/jobs/{job_id}/cancel",
    answer=JobOut,
    errors=(JobNotFound, WrongState),
    summary="End a waiting job, or ask a running one's worker to stop",
)
def cancel_job(call: Call, job_id: str) -> Any:
    return job_detail.columns_of(actions.cancel(job_id, actor=call.actor, now=call.now, mark=call.key))


@operation(
    "POST",
    "/jobs/{job_id}/rerun",
    answer=JobOut,
    errors=(JobNotFound, WrongState),
    summary="Put an ended job into its queue again, with the same window and parameters",
)
def rerun_job(call: Call, job_id: str) -> Any:
    return job_detail.columns_of(actions.rerun(job_id, actor=call.actor, now=call.now, mark=call.key))
