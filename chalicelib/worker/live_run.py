"""A run while it executes: what its kind may use, and the watch that stops it within two seconds of a cancel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from chalicelib.clock import Clock
from chalicelib.core.lifecycle import ACTIVE, Reason, cancel_reason
from chalicelib.errors import Stopped
from chalicelib.kinds.protocol import JobFacts
from chalicelib.log import event
from chalicelib.logs.writer import RunLog
from chalicelib.retrying import SERVICE_ERRORS
from chalicelib.store import jobs, runs
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.worker.held_lease import HeldLease, Keeping

# No lease is as short as this: a claim that old is still the worker's.
FRESH = timedelta(seconds=10)
# The watch checks this often, so that a statement is stopped within two seconds of a cancel.
WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Stop:
    """Why a run must stop."""

    reason: Reason
    message: str
    # True for a cancel and the deadline, which end the job; False for a lost lease and the end of the worker's time.
    final: bool = True
    # True where another attempt would meet the same: it is not tried again.
    permanent: bool = True


LOST = Stop(Reason.WORKER_LOST, "Another process has ended this run: its lease was lost.", final=False)
# What a lease that is kept no longer asks of the work.
WITHOUT_LEASE = {
    Keeping.OVER: Stop(Reason.WORKER_LOST, "The lease could not be renewed in time.", final=False, permanent=False),
    Keeping.LOST: LOST,
}


@dataclass
class LiveRun:
    """Implements kinds.protocol.RunContext."""

    facts: JobFacts
    job: JobRecord
    clock: Clock
    lease: HeldLease
    # When the worker itself must be done, and when the whole job must be.
    worker_until: datetime
    deadline: datetime | None = None
    stop: Stop | None = None
    rows: int = 0
    bytes: int = 0
    run_log: RunLog = field(init=False)
    _interrupt: Callable[[], None] | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    # While the watch checks for a stop; after `end_watch` it only keeps the lease.
    _checking: threading.Lock = field(default_factory=threading.Lock)
    _closing: bool = False
    # Whether the run's record was made.
    _begun: bool = False
    # Whether it could not be: another process has ended the run.
    _lost: bool = False
    _begin_lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.run_log = RunLog(self.job, self.clock)

    # --- what a kind calls ---

    def log(self, level: str, message: str, *, type: str = "run", picture: str | None = None) -> None:
        self.run_log.add(level, message, type=type, picture=picture)

    def progress(self, *, rows: int | None = None, bytes: int | None = None) -> None:
        self.rows = self.rows if rows is None else rows
        self.bytes = self.bytes if bytes is None else bytes

    def define(self, definition: Mapping[str, Any]) -> None:
        if self.begin(definition):
            return
        if self._lost:
            self._ask_to_stop(LOST)
            self.check()
        runs.define(self.facts.job_id, self.facts.run_no, dict(definition), fence=str(self.job.fence))

    def on_stop(self, interrupt: Callable[[], None] | None) -> None:
        with self._lock:
            self._interrupt = interrupt
            late = self.stop is not None and interrupt is not None
        if late:
            self._interrupt_work()

    def check(self) -> None:
        # The watch may get no time: then the work keeps its own lease.
        self.keep_lease(by_watch=False)
        if self.stop is not None:
            raise Stopped(self.stop.message)

    # --- what the worker calls ---

    def begin(self, definition: Mapping[str, Any] | None = None) -> bool:
        """Record the run, together with what it executes; False when that was done before, or the run has ended.

        A kind says soon after its start what it executes, so that both are one write. The watch records the run of a
        kind that takes its time, and the worker at the latest before the end.
        """
        with self._begin_lock:
            if self._begun:
                return False
            run = RunRecord(
                self.facts.job_id,
                self.facts.run_no,
                fence=str(self.job.fence),
                worker=self.job.worker,
                created_at=self.job.started_at,
                started_at=self.job.started_at,
                definition=None if definition is None else dict(definition),
            )
            self._begun, self._lost = True, not (self._still_held() and runs.begin(run))
            return not self._lost

    def _still_held(self) -> bool:
        """Whether the job is this run's: long after the claim it may have been taken for lost, and even deleted."""
        if self.job.started_at is not None and self.clock.now() - self.job.started_at < FRESH:
            return True
        job = jobs.find(self.facts.job_id)
        return job is not None and job.fence == self.job.fence and job.status in ACTIVE

    def start_watch(self) -> None:
        """Check for a cancel, the clocks and a lost lease from now on, in a thread of its own."""
        self._thread = threading.Thread(target=self._keep_watch, name=f"watch-{self.facts.job_id}", daemon=True)
        self._thread.start()

    def end_watch(self) -> None:
        """End the checks; no interrupt comes after this returns. The lease is kept until `close`."""
        with self._checking:
            self._closing = True
        with self._lock:
            self._interrupt = None

    def close(self) -> None:
        """Keep the lease no longer: the run's end is written, or its worker gives up."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def keep_lease(self, *, by_watch: bool = True) -> None:
        """Renew the lease if that is due; ask the work to stop where it ran out or was lost."""
        self._stop_without(self.lease.keep(by_watch=by_watch))

    def check_for_stop(self) -> None:
        """Check once: the clocks first, which costs nothing, then the lease and the job's record."""
        if self.check_clocks():
            keeping = self.lease.keep()
            try:
                # A cancel says more than a lease that ran out.
                self._check_record()
            finally:
                self._stop_without(keeping)

    def check_clocks(self) -> bool:
        """Whether the job and its worker have time left; asks the work to stop where they have not."""
        now = self.clock.now()
        if self.deadline is not None and now >= self.deadline:
            seconds = self.job.deadline_seconds
            self._ask_to_stop(Stop(Reason.DEADLINE, f"The deadline of {seconds} s for the whole job ran out."))
        elif now >= self.worker_until:
            message = "The worker's own time ran out before the work was done."
            self._ask_to_stop(Stop(Reason.ERROR, message, final=False))
        else:
            return True
        return False

    def _stop_without(self, keeping: Keeping) -> None:
        stop = WITHOUT_LEASE.get(keeping)
        if stop is not None:
            self._ask_to_stop(stop)

    def _check_record(self) -> None:
        job = self.lease.take_found() or jobs.find(self.facts.job_id)
        if job is None or job.fence != self.job.fence or job.status not in ACTIVE:
            self._ask_to_stop(LOST)
        elif job.cancel_requested_at is not None:
            by = job.cancel_requested_by or "an unknown user"
            self._ask_to_stop(Stop(cancel_reason(by, job.cancel_by_policy), f"Cancel requested by {by}."))

    def _ask_to_stop(self, stop: Stop) -> None:
        with self._lock:
            if self.stop is not None:
                return
            self.stop = stop
        self.log("WARN", stop.message, type="stop")
        self._interrupt_work()

    def _interrupt_work(self) -> None:
        with self._lock:
            interrupt, self._interrupt = self._interrupt, None
            if interrupt is not None:
                interrupt()

    def check_unless_unanswered(self) -> None:
        """Check once. A table that does not answer for a moment is no reason to stop: the next check comes soon."""
        try:
            self.check_for_stop()
        except SERVICE_ERRORS as error:
            event("watch could not read the job", level="WARN", job_id=self.facts.job_id, error=str(error))

    def _keep_watch(self) -> None:
        while not self._over.wait(WATCH_SECONDS):
            with self._checking:
                if self._closing:
                    self.keep_lease()
                else:
                    self._begin_unless_unanswered()
                    self.check_unless_unanswered()
                    self._flush_log()

    def _begin_unless_unanswered(self) -> None:
        try:
            self.begin()
        except SERVICE_ERRORS as error:
            event("run not recorded yet", level="WARN", job_id=self.facts.job_id, error=str(error))

    def _flush_log(self) -> None:
        try:
            if self.run_log.flush_due:
                self.run_log.flush()
        except SERVICE_ERRORS as error:
            event("log not written yet", level="WARN", job_id=self.facts.job_id, error=str(error))
