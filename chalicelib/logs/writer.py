"""The log of a run while its worker lives: lines wait a moment and go out together, to the table and, at the end, to
the archive."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate

from chalicelib.clock import Clock
from chalicelib.core.instants import rfc3339
from chalicelib.core.log_gzip import RunPacker
from chalicelib.core.log_lines import LogLine, as_json
from chalicelib.logs import archive as log_archive
from chalicelib.store import logs as log_store
from chalicelib.store.job_record import JobRecord

# Lines wait this long, or until they fill a chunk, so that one write carries many.
FLUSH_AFTER = timedelta(seconds=2)
# Characters. One line of a database's error can be long; many of them must fit one chunk.
LINE_LIMIT = 1_500
# A chunk is written when it has so many bytes; one more line, each letter escaped, still fits.
FULL_BYTES = log_store.CHUNK_BYTES - 32 * 1024


@dataclass
class RunLog:
    """Takes lines from the run's threads. They are numbered when they are written: others may write to the log too."""

    job: JobRecord
    clock: Clock
    _waiting: list[LogLine] = field(default_factory=list)
    _waiting_bytes: int = 0
    # Cut off and not yet known to be written: tried again as it is, so that no line is doubled.
    _chunk: list[LogLine] = field(default_factory=list)
    _last: int = 0
    _flushed_at: datetime | None = None
    # What the archive will be, unless somebody else wrote to this log.
    _packer: RunPacker = field(default_factory=RunPacker)
    _alone: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def add(self, level: str, message: str, *, type: str, picture: str | None = None) -> None:
        text = message if len(message) <= LINE_LIMIT else message[:LINE_LIMIT] + " …"
        # Text that cannot be UTF-8 (half a surrogate pair) must not stop the log.
        text = text.encode("utf-8", "replace").decode()
        line = LogLine(0, rfc3339(self.clock.now()), level, type, text, picture)
        with self._lock:
            self._waiting.append(line)
            self._waiting_bytes += _size(line)
            full = len(self._waiting) >= log_store.CHUNK_LINES or self._waiting_bytes >= FULL_BYTES
        if full:
            self.flush()

    @property
    def due(self) -> bool:
        """Whether the lines have waited long enough."""
        return self._flushed_at is None or self.clock.now() - self._flushed_at >= FLUSH_AFTER

    def flush(self) -> None:
        """Write the lines collected so far."""
        with self._writing:
            while self._cut():
                written = log_store.append(
                    self.job.job_id, int(self.job.run_no), self._chunk, after=self._last, now=self.clock.now()
                )
                self._alone &= written[0].sequence == self._last + 1
                self._last = written[-1].sequence
                for line in written if self._alone else ():
                    self._packer.add(line)
                self._chunk = []
            self._flushed_at = self.clock.now()

    def _cut(self) -> list[LogLine]:
        """The lines to be written next: as many as fit a chunk."""
        with self._lock:
            if not self._chunk:
                count = len(self._waiting) if self._waiting_bytes <= log_store.CHUNK_BYTES else self._fitting()
                self._chunk, self._waiting = self._waiting[:count], self._waiting[count:]
                self._waiting_bytes = sum(map(_size, self._waiting))
            return self._chunk

    def _fitting(self) -> int:
        """How many of the lines fit: more wait only when the table refused to take them for a while."""
        sizes = accumulate(map(_size, self._waiting))
        return max(1, sum(1 for size in sizes if size <= log_store.CHUNK_BYTES))

    def archive(self) -> None:
        """Write what is left, and the archive. To be done before the run's end is written."""
        self.flush()
        if self._alone:
            log_archive.put(self.job, int(self.job.run_no), self._packer)
        else:
            self.archive_again()

    def archive_again(self) -> None:
        """Write what is left, and the archive as the table has it: others wrote to this log, or archived it."""
        self.flush()
        log_archive.from_table(self.job, int(self.job.run_no))


def _size(line: LogLine) -> int:
    """Bytes in a chunk before it is compressed, with room for the number it will have."""
    return len(as_json(line).encode()) + 10
