"""Logs of ended runs, in S3: two objects at most for each run, all lines and the alerts among them.

An archive holds the run's lines from the first to some line; what came later stands in the table. It is written before
the run's end is, by whoever ends the run, so that a run that has ended has its archive. Writing it again is harmless.
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
from chalicelib.storage.links import s3
from chalicelib.storage.upload import storage_errors
from chalicelib.store import logs as log_store
from chalicelib.store.job_record import JobRecord

# Read first, from the end: the index, and with it all of most logs.
TAIL_BYTES = 64 * 1024
# Members read at once when reading on: twice as many each time, at most 32,000 lines.
LARGEST_READ = 16
MISSING = frozenset({"NoSuchKey", "404"})
LAST = "last-sequence"


def folder(job: JobRecord) -> str:
    """Below this lies whatever the logs of a job left in the bucket (`storage/layout.py` removes it with the job)."""
    return f"{prefix('logs', job.kind)}/{job.job_id}/"


def key(job: JobRecord, run_no: int, *, alerts: bool = False) -> str:
    return f"{folder(job)}{run_no}{'-alerts' if alerts else ''}.jsonl.gz"


# --- writing ----------------------------------------------------------------------------------------------------------


def put(job: JobRecord, run_no: int, packer: RunPacker) -> None:
    """Write the archive of the lines packed. The alerts go first: where all lines are, theirs are too."""
    if packer.last is None:
        return
    for alerts, lines in ((True, packer.alerts), (False, packer.lines)):
        if not lines.empty:
            _put(key(job, run_no, alerts=alerts), lines.packed(last=packer.last.sequence), last=packer.last.sequence)


def _put(name: str, body: bytes, *, last: int) -> None:
    with storage_errors(name):
        s3().put_object(
            Bucket=settings().bucket,
            Key=name,
            Body=body,
            ContentType="application/gzip",
            Metadata={LAST: str(last)},
        )


def from_table(job: JobRecord, run_no: int) -> None:
    """Archive what the table has of the run, whoever wrote it."""
    put(job, run_no, packed_table(job, run_no))


def packed_table(job: JobRecord, run_no: int) -> RunPacker:
    packer = RunPacker()
    for line in log_store.read(job.job_id, run_no):
        packer.add(line)
    return packer


def close_log(job: JobRecord, run_no: int, *, level: str, message: str, type: str, now: datetime) -> None:
    """End the log of a run whose worker cannot: with a line that says why, once, and the archive."""
    packer = packed_table(job, run_no)
    last = packer.last
    if last is None or (last.type, last.message) != (type, message):
        line = LogLine(0, rfc3339(now), level, type, message)
        after = 0 if last is None else last.sequence
        written = log_store.append(job.job_id, run_no, [line], after=after, now=now)
        if written[0].sequence != after + 1:
            # The worker was not that lost: it wrote lines since the table was read.
            packer = packed_table(job, run_no)
        else:
            packer.add(written[0])
    put(job, run_no, packer)


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Archive:
    """An archive whose index is known."""

    key: str
    etag: str
    index: Index
    tail: bytes
    tail_from: int

    def lines(self, *, after: int = 0) -> Iterator[LogLine]:
        """The lines with a sequence above `after`, in order. Reads about as far as the lines are taken."""
        number, count = self.index.holding(after + 1), 1
        while number < len(self.index.members):
            for line in unpack(self._bytes(*self.index.span(number, count))):
                if line.sequence > after:
                    yield line
            number, count = number + count, min(2 * count, LARGEST_READ)

    def _bytes(self, start: int, stop: int) -> bytes:
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
    """The run's archive, of its alerts alone if so asked; None when there is none."""
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
        # The index of some ten million lines is longer than this.
        assert len(tail) < size, f"{name} is not an archived log"
        wanted *= 8


def last_sequence(job: JobRecord, run_no: int) -> int | None:
    """The last line that the run's archive holds; None when there is no archive. Costs no line."""
    try:
        answer = s3().head_object(Bucket=settings().bucket, Key=key(job, run_no))
    except ClientError as error:
        # Who may not list the bucket is not told what is missing.
        if _code(error) in MISSING | {"403"}:
            return None
        raise
    return int(answer["Metadata"][LAST])


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
