"""Writes the log of a run while its worker lives: buffers lines, writes them to the table in chunks, archives at the
run's end."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate

from chalicelib.clock import Clock
from chalicelib.core.instants import rfc3339
from chalicelib.core.log_gzip import RunPacker
from chalicelib.core.log_lines import LogLine, as_json
from chalicelib.core.record_bounds import CHUNK_BYTES
from chalicelib.log import event
from chalicelib.logs import archive as log_archive
from chalicelib.retrying import SERVICE_ERRORS
from chalicelib.store import logs as log_store
from chalicelib.store.job_record import JobRecord

# Lines stay in the buffer this long, or until they fill a chunk, so one write carries many.
FLUSH_AFTER = timedelta(seconds=2)
# Characters. A line with a database's error can be long; a chunk must hold many such lines.
LINE_LIMIT = 1_500
# S3 has no longer key.
KEY_LIMIT = 1_024
# The buffer is flushed at this size; one more line still fits the chunk, even with each letter escaped.
FULL_BYTES = CHUNK_BYTES - 32 * 1024


# Lines that wait while the table takes none; past that the oldest go.
MOST_LINES = 4 * log_store.CHUNK_LINES


@dataclass
class RunLog:
    """Takes lines from the run's threads. A line gets its sequence when it is written: the sweep may write here too."""

    job: JobRecord
    clock: Clock
    _buffer: list[LogLine] = field(default_factory=list)
    _buffer_bytes: int = 0
    # Taken from the buffer and not yet known to be written. A retry writes the same chunk, so no line is doubled.
    _chunk: list[LogLine] = field(default_factory=list)
    # Lines that were given up because the table took none for long.
    _dropped: int = 0
    _last_sequence: int = 0
    _flushed_at: datetime | None = None
    # The archive of the lines so far. Not used once another writer has put lines among them.
    _packer: RunPacker = field(default_factory=RunPacker)
    _sole_writer: bool = True
    _buffer_lock: threading.Lock = field(default_factory=threading.Lock)
    _flush_lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, level: str, message: str, *, type: str, picture: str | None = None) -> None:
        text = message if len(message) <= LINE_LIMIT else message[:LINE_LIMIT] + " …"
        # Text that cannot be UTF-8 (half a surrogate pair) must not stop the log.
        text = text.encode("utf-8", "replace").decode()
        line = LogLine(0, rfc3339(self.clock.now()), level, type, text, picture and picture[:KEY_LIMIT])
        with self._buffer_lock:
            self._buffer.append(line)
            self._buffer_bytes += _size(line)
            full = len(self._buffer) >= log_store.CHUNK_LINES or self._buffer_bytes >= FULL_BYTES
        if full:
            self._flush_if_answered()

    def _flush_if_answered(self) -> None:
        """Flush; a table that does not answer must not fail the run. The lines stay in the buffer, up to a bound."""
        try:
            self.flush()
        except SERVICE_ERRORS as error:
            event("log not written yet", level="WARN", job_id=self.job.job_id, error=str(error))
            with self._buffer_lock:
                dropped = len(self._buffer) - MOST_LINES
                if dropped > 0:
                    self._dropped += dropped
                    self._buffer = self._buffer[dropped:]
                    self._buffer_bytes = sum(map(_size, self._buffer))

    @property
    def flush_due(self) -> bool:
        """Whether the last flush is FLUSH_AFTER ago."""
        return self._flushed_at is None or self.clock.now() - self._flushed_at >= FLUSH_AFTER

    def flush(self) -> None:
        """Write the buffered lines to the table."""
        with self._flush_lock:
            while self._next_chunk():
                written = log_store.append(
                    self.job.job_id, int(self.job.run_no), self._chunk, after=self._last_sequence, now=self.clock.now()
                )
                self._sole_writer &= written[0].sequence == self._last_sequence + 1
                self._last_sequence = written[-1].sequence
                for line in written if self._sole_writer else ():
                    self._packer.add(line)
                self._chunk = []
            self._flushed_at = self.clock.now()

    def _next_chunk(self) -> list[LogLine]:
        """The lines to write next, taken from the buffer: as many as fit a chunk."""
        with self._buffer_lock:
            if not self._chunk:
                count = len(self._buffer) if self._buffer_bytes <= CHUNK_BYTES else self._count_that_fits()
                self._chunk, self._buffer = self._buffer[:count], self._buffer[count:]
                self._buffer_bytes = sum(map(_size, self._buffer))
            return self._chunk

    def _count_that_fits(self) -> int:
        """How many buffered lines fit a chunk. There are more only after the table refused writes for a while."""
        sizes = accumulate(map(_size, self._buffer))
        return max(1, sum(1 for size in sizes if size <= CHUNK_BYTES))

    def archive(self) -> None:
        """Flush, and write the archive. Call it before the run's end is written."""
        if self._dropped:
            self.add("WARN", f"{self._dropped} earlier lines were lost: the log's table took none.", type="log")
        self.flush()
        if self._sole_writer:
            log_archive.write(self.job, int(self.job.run_no), self._packer)
        else:
            self.archive_from_table()

    def archive_from_table(self) -> None:
        """Flush, and write the archive of all lines in the table: another writer wrote to this log, or archived it."""
        self.flush()
        log_archive.write_from_table(self.job, int(self.job.run_no))


def _size(line: LogLine) -> int:
    """Bytes of the line in a chunk before compression, with room for its sequence."""
    return len(as_json(line).encode()) + 10
