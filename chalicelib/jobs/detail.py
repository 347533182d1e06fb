"""One job with all that is known of it: its record, its clocks, its runs, what they ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chalicelib.core.lifecycle import RunStatus
from chalicelib.errors import RunNotFound
from chalicelib.jobs.files import manifests_on_record
from chalicelib.kinds.registry import KINDS, kind_of
from chalicelib.queue import leases
from chalicelib.store import jobs as store
from chalicelib.store import runs as run_store
from chalicelib.store.catalogue import source_names
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord

DEFAULT_RUNS = 3
# The most attempts that a job may have. After re-runs a job may have more runs; `runs` reads those.
RUNS_READ = 32


def get(job_id: str) -> JobRecord:
    return store.get(job_id)


def columns_of(job: JobRecord) -> dict[str, Any]:
    """The job's columns by name, with the manifests in `files` wherever they lie and the name of its source, for an
    answer that adds to them."""
    columns = {name: getattr(job, name) for name in type(job).get_attributes()}
    name = source_names([job.source_id]).get(str(job.source_id))
    return columns | {"files": manifests_on_record(job), "source_name": name}


def whole_record(job: JobRecord, *, run_no: int | None = None) -> dict[str, Any]:
    """The columns of the job, and:

    - `deadline_at`, `queue_wait_ends_at`: when its clocks run out or ran out; None for a clock that has not begun;
    - `runs`: the newest three of `run_count`, newest first;
    - `failures`: the failed and canceled runs among the newest 32, newest first;
    - `definition`: what run `run_no` ran, or the newest run that began; without such a run, what would run now.

    Raises RunNotFound for a `run_no` that the job does not have.
    """
    job_id = job.job_id
    if run_no is not None and not 1 <= run_no <= job.run_no:
        raise RunNotFound(f"Job {job_id} has no run {run_no}.")
    newest = list(run_store.newest(job_id, RUNS_READ))
    return {
        **columns_of(job),
        "deadline_at": leases.deadline(job),
        "queue_wait_ends_at": leases.queue_wait_end(job),
        "run_count": job.run_no,
        "runs": newest[:DEFAULT_RUNS],
        "failures": [_failure(run) for run in newest if run.status in (RunStatus.FAILED, RunStatus.CANCELED)],
        "definition": _definition(job, newest if run_no is None else [run_store.find(job_id, run_no)]),
    }


def _failure(run: RunRecord) -> dict[str, Any]:
    return {"run_no": run.run_no, "at": run.ended_at, "status": run.status, "reason": run.reason, "error": run.error}


def _definition(job: JobRecord, runs: Sequence[RunRecord | None]) -> dict[str, Any]:
    """The definition that the first of these runs recorded; without one, the definition as it stands now."""
    for run in runs:
        if run is not None and run.definition is not None:
            return {"frozen": True, "run_no": run.run_no, "document": run.definition}
    return {"frozen": False, "run_no": None, "document": _definition_now(job)}


def _definition_now(job: JobRecord) -> dict[str, Any]:
    """Empty where Carillon has the job's kind no longer, or the kind cannot read the spec: a job that found no room for
    its end has lost it (store/job_transitions.py)."""
    if job.kind not in KINDS:
        return {}
    try:
        return kind_of(job.kind).definition(job.spec)
    except ValueError:
        return {}


def runs(job_id: str, *, limit: int | None = DEFAULT_RUNS) -> list[RunRecord]:
    """The job's runs, newest first; `limit` None means all. Raises JobNotFound."""
    store.get(job_id)
    return list(run_store.newest(job_id, limit))
