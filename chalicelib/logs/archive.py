"""Logs of ended runs in S3: one object with all lines of a run, and one with its alerts where it has any.

An archive holds the run's lines from the first to some line; lines written later are in the table. The worker, or the
sweep in its place, writes the archive before it writes the run's end, so every ended run has one. Writing it again is
harmless.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import ClientError

from chalicelib.core.instants import rfc3339
from chalicelib.core.log_gzip import Index, RunPacker, index_in, unpack
from chalicelib.core.log_lines import LogLine
from chalicelib.errors import Unavailable
from chalicelib.retention import prefix
from chalicelib.settings import settings
from chalicelib.storage.bucket import s3
from chalicelib.storage.upload import storage_errors
from chalicelib.store import logs as log_store
from chalicelib.store.job_record import JobRecord

# The first read takes this much from the end: it holds the index, and most logs fit whole.
TAIL_BYTES = 64 * 1024
# Each further read takes twice as many members as the one before, up to this many: 32,000 lines.
LARGEST_READ = 16
MISSING = frozenset({"NoSuchKey", "404"})
# Metadata of the object: the sequence of its last line, read by `last_sequence` without the body.
LAST_SEQUENCE = "last-sequence"


def folder(job: JobRecord) -> str:
    """The prefix of all log objects of a job; `storage/layout.py` removes them with the job."""
    return f"{prefix('logs', job.kind)}/{job.job_id}/"


def key(job: JobRecord, run_no: int, *, alerts: bool = False) -> str:
    return f"{folder(job)}{run_no}{'-alerts' if alerts else ''}.jsonl.gz"


# --- writing ----------------------------------------------------------------------------------------------------------


def write(job: JobRecord, run_no: int, packer: RunPacker) -> None:
    """Write the archive of the packed lines. The alerts go first: a reader that finds the lines finds the alerts."""
    if packer.last is None:
        return
    for alerts, lines in ((True, packer.alerts), (False, packer.lines)):
        if not lines.empty:
            _put_object(
                key(job, run_no, alerts=alerts), lines.packed(last=packer.last.sequence), last=packer.last.sequence
            )


def _put_object(name: str, body: bytes, *, last: int) -> None:
    with storage_errors(name):
        s3().put_object(
            Bucket=settings().bucket,
            Key=name,
            Body=body,
            ContentType="application/gzip",
            Metadata={LAST_SEQUENCE: str(last)},
        )


def write_from_table(job: JobRecord, run_no: int) -> None:
    """Write the archive of all lines that the table has of the run, those of other writers included."""
    write(job, run_no, _pack_table(job, run_no))


def _pack_table(job: JobRecord, run_no: int) -> RunPacker:
    packer = RunPacker()
    for line in log_store.read(job.job_id, run_no):
        packer.add(line)
    return packer


def close_log(job: JobRecord, run_no: int, *, level: str, message: str, type: str, now: datetime) -> None:
    """End the log of a run whose worker was lost: append a line that says why, unless it is there, and archive."""
    packer = _pack_table(job, run_no)
    last = packer.last
    if last is None or (last.type, last.message) != (type, message):
        line = LogLine(0, rfc3339(now), level, type, message)
        after = 0 if last is None else last.sequence
        written = log_store.append(job.job_id, run_no, [line], after=after, now=now)
        if written[0].sequence != after + 1:
            # The worker is alive after all: it wrote lines since the table was read.
            packer = _pack_table(job, run_no)
        else:
            packer.add(written[0])
    write(job, run_no, packer)


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Archive:
    """An archive whose index was read, and the end of it that was read with the index."""

    key: str
    etag: str
    index: Index
    tail: bytes
    tail_from: int

    def lines(self, *, after: int = 0) -> Iterator[LogLine]:
        """The lines with a sequence above `after`, in order. Reads little further than the caller takes lines."""
        number, count = self.index.holding(after + 1), 1
        while number < len(self.index.members):
            for line in unpack(self._read(*self.index.span(number, count))):
                if line.sequence > after:
                    yield line
            number, count = number + count, min(2 * count, LARGEST_READ)

    def _read(self, start: int, stop: int) -> bytes:
        if start >= self.tail_from:
            return self.tail[start - self.tail_from : stop - self.tail_from]
        try:
            answer = s3().get_object(
                Bucket=settings().bucket, Key=self.key, Range=f"bytes={start}-{stop - 1}", IfMatch=self.etag
            )
        except ClientError as error:
            if _code(error) in ("PreconditionFailed", "412"):
                raise Unavailable("The log was just archived again; ask again.") from error
            raise
        return bytes(answer["Body"].read())


def find(job: JobRecord, run_no: int, *, alerts: bool = False) -> Archive | None:
    """The archive of the run's lines, or of its alerts alone; None when there is none. Reads its end."""
    name, wanted = key(job, run_no, alerts=alerts), TAIL_BYTES
    while True:
        try:
            answer = s3().get_object(Bucket=settings().bucket, Key=name, Range=f"bytes=-{wanted}")
        except ClientError as error:
            if _code(error) in MISSING:
                return None
            raise
        tail = bytes(answer["Body"].read())
        size = int(answer["ContentRange"].rpartition("/")[2])
        index = index_in(tail, size=size)
        if index is not None:
            return Archive(name, answer["ETag"], index, tail, size - len(tail))
        # The index begins before the part that was read: it is that long from some ten million lines on.
        assert len(tail) < size, f"{name} is not an archived log"
        wanted *= 8


def last_sequence(job: JobRecord, run_no: int) -> int | None:
    """The sequence of the archive's last line; None when there is no archive. Reads no line."""
    try:
        answer = s3().head_object(Bucket=settings().bucket, Key=key(job, run_no))
    except ClientError as error:
        # S3 answers 403 for a missing object when the caller may not list the bucket.
        if _code(error) in MISSING | {"403"}:
            return None
        raise
    return int(answer["Metadata"][LAST_SEQUENCE])


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
