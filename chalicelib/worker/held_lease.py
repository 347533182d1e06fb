"""The lease that a run holds: renewed while its worker lives, given up before another worker may begin.

claim ──20 s──> renewed ──20 s──> renewed ──40 s without a renewal──> the worker stops ──5 s──> `sweep` takes over
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from chalicelib.clock import Clock
from chalicelib.log import event
from chalicelib.queue import leases
from chalicelib.retrying import SERVICE_ERRORS
from chalicelib.store import job_updates
from chalicelib.store.job_record import JobRecord

# The work itself renews a lease that the watch is so late to renew.
WATCH_IS_LATE = timedelta(seconds=5)


class Keeping(Enum):
    """What became of a lease that was to be kept."""

    KEPT = "kept"  # not due, or renewed
    OVER = "over"  # its time is nearly up, and no renewal came through
    LOST = "lost"  # another process has ended the run


@dataclass
class HeldLease:
    """The lease of one run, which two threads keep: the watch, and the work where the watch gets no time."""

    job: JobRecord
    clock: Clock
    # When the worker's function ends.
    worker_until: datetime
    until: datetime = field(init=False)
    # The job as the newest renewal found it, until a caller takes it.
    _found: JobRecord | None = None
    _state: Keeping = Keeping.KEPT
    _renewing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.until = self.job.lease_until

    def keep(self, *, by_watch: bool = True) -> Keeping:
        """Renew the lease if that is due. A renewal that a service fails is tried again at the next call."""
        if self._state is not Keeping.KEPT:
            return self._state
        now = self.clock.now()
        if now >= self.until - leases.STOP_BEFORE:
            self._state = Keeping.OVER
            return self._state
        late = timedelta(0) if by_watch else WATCH_IS_LATE
        due = self.until - leases.WORKER_LEASE + leases.RENEW_EVERY + late
        if now >= due and self.until < leases.longest_lease(self.worker_until):
            self._renew(now)
        return self._state

    def take_found(self) -> JobRecord | None:
        """The job as a renewal has just found it, once: no need to read it again."""
        found, self._found = self._found, None
        return found

    def _renew(self, now: datetime) -> None:
        if not self._renewing.acquire(blocking=False):
            # The other thread is at it.
            return
        try:
            until = leases.worker_lease(self.worker_until, now=now)
            self._found = job_updates.renew_lease(self.job, lease_until=until)
            if self._found is None:
                self._state = Keeping.LOST
            else:
                self.until = until
        except SERVICE_ERRORS as error:
            event("lease not renewed yet", level="WARN", job_id=self.job.job_id, error=str(error))
        finally:
            self._renewing.release()
