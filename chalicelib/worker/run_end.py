"""How a run ended, and the writes that say so: its files and its log, its record, then its job."""

from __future__ import annotations

from chalicelib import retention
from chalicelib.core.instants import sortable
from chalicelib.core.lifecycle import Reason, RunStatus
from chalicelib.errors import RunError, StatementTimedOut, Stopped
from chalicelib.jobs import deletion
from chalicelib.kinds.protocol import Outcome
from chalicelib.log import event
from chalicelib.queue import completion
from chalicelib.settings import settings
from chalicelib.storage.bucket import s3
from chalicelib.storage.layout import discard_run
from chalicelib.store import jobs, runs
from chalicelib.store.runs import RunRecord
from chalicelib.worker.live_run import LiveRun
from chalicelib.worker.metering import Meter

# Characters of an error or a summary. A database may quote a whole value, which no record and no list could hold.
ERROR_LIMIT = 4_000
STATEMENT_LEFT = "The source's server could not be told to end the statement: the statement may still run there."


# --- how it ended -----------------------------------------------------------------------------------------------------


def succeeded(live: LiveRun, outcome: Outcome) -> RunRecord:
    live.log("INFO", outcome.summary or "Done.")
    run = _ended(live, RunStatus.SUCCEEDED, None, None)
    run.rows, run.bytes, run.files = outcome.rows, outcome.bytes, outcome.held
    run.summary = _storable(outcome.summary)
    return run


def stopped_or_failed(live: LiveRun, error: RunError) -> RunRecord:
    """The run is canceled where a cancel or a clock stopped it; otherwise it failed with the kind's error."""
    stop = live.stop
    if stop is not None and stop.final:
        live.log("WARN", f"Stopped: {stop.message}")
        return _ended(live, RunStatus.CANCELED, stop.reason, stop.message, left=error.may_still_run)
    if isinstance(error, Stopped) and stop is not None:
        live.log("ERROR", stop.message)
        return _ended(
            live, RunStatus.FAILED, stop.reason, stop.message, permanent=stop.permanent, left=error.may_still_run
        )
    live.log("ERROR", error.message)
    reason = Reason.STATEMENT if isinstance(error, StatementTimedOut) else getattr(error, "reason", Reason.ERROR)
    left = error.may_still_run
    return _ended(live, RunStatus.FAILED, Reason(reason), error.message, permanent=error.permanent, left=left)


def failed_unexpectedly(live: LiveRun, error: Exception) -> RunRecord:
    message = f"{type(error).__name__}: {error}"
    live.log("ERROR", f"Unexpected {message}")
    event("kind failed unexpectedly", level="ERROR", job_id=live.job.job_id, error_type=type(error).__name__)
    return _ended(live, RunStatus.FAILED, Reason.UNKNOWN_ERROR, message)


def _ended(
    live: LiveRun,
    status: RunStatus,
    reason: Reason | None,
    error: str | None,
    *,
    permanent: bool = False,
    left: bool = False,
) -> RunRecord:
    """The run's record. It is made when the kind has ended, so a stopped run's work ended by now. `left` says that a
    statement may still run at the source.
    """
    now = live.clock.now()
    if left:
        live.log("WARN", STATEMENT_LEFT, type="stop")
        error = f"{error} {STATEMENT_LEFT}"
    return RunRecord(
        live.job.job_id,
        int(live.job.run_no),
        status=status,
        reason=reason,
        error=None if error is None else _storable(error),
        permanent=int(permanent),
        worker=live.job.worker,
        fence=str(live.job.fence),
        created_at=now,
        ended_at=now,
        stopped_at=now if live.stop is not None and status != RunStatus.SUCCEEDED else None,
        statement_may_run=True if left else None,
    )


def _storable(error: str) -> str:
    """The error, cut where it is too long. Half a surrogate pair, which UTF-8 cannot hold, becomes a question mark."""
    cut = error if len(error) <= ERROR_LIMIT else error[:ERROR_LIMIT] + " …"
    return cut.encode("utf-8", "replace").decode()


# --- writing it -------------------------------------------------------------------------------------------------------


def record(live: LiveRun, run: RunRecord, *, meter: Meter | None = None) -> None:
    """Write the run's end, then its job's.

    Before that, the files of a run without success are discarded and the log is archived, so that an ended run leaves
    nothing to clean up. An end that comes too late changes nothing: another caller has ended the run.
    """
    job = live.job
    if run.status != RunStatus.SUCCEEDED:
        _discard_files(live)
    live.run_log.archive()
    now = live.clock.now()
    if run.status == RunStatus.SUCCEEDED:
        # The job ends together with this run, so that the run's expiry is known.
        run.expires_at = retention.expires_at(job.kind, now)
    if meter is not None:
        run.cost = meter.result(kind=job.kind, now=now, stored_bytes=int(run.bytes or 0))
    if runs.end(run, made=True) or _is_written(run):
        completion.complete(job, run, now=now)
    else:
        _discard_late_result(live, run)


def _is_written(run: RunRecord) -> bool:
    """Whether a refused end stands in the table: the client tries again by itself when the answer to its write is lost.

    To take it for another's end would discard the files that it shows.
    """
    found = runs.find(run.job_id, int(run.run_no))
    if found is None or found.ended_at is None:
        return False
    same_end = (found.fence, found.status) == (run.fence, run.status)
    return same_end and sortable(found.ended_at) == sortable(run.ended_at)


def _discard_late_result(live: LiveRun, run: RunRecord) -> None:
    job = live.job
    found = jobs.find(job.job_id)
    if found is None or found.deleted_at is not None:
        # The deletion may be past the log and the files that this run has just written.
        deletion.remove_files_logs_and_runs(job)
        event("late result of a deleted job removed", level="WARN", job_id=job.job_id, run_no=int(job.run_no))
        return
    live.log("WARN", f"A result ({run.status}) arrived after this run had ended; it changes nothing.", type="late")
    live.run_log.archive_from_table()
    _discard_files(live)
    event("late result ignored", level="WARN", job_id=job.job_id, run_no=int(job.run_no), status=run.status)


def _discard_files(live: LiveRun) -> None:
    discard_run(s3(), settings().bucket, live.job.kind, live.job.job_id, int(live.job.run_no))
