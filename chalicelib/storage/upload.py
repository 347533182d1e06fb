"""Writes one object to S3, all or nothing: in parts, a few of them in flight.

The object appears only at `complete`. A file smaller than one part needs a single put, which is all or nothing too.
Memory holds the part being filled and the parts in flight, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from chalicelib.errors import FileNotWritten, Unavailable

MIB = 1 << 20
# S3 takes 10,000 parts of 5 MiB to 5 GiB (only the last may be smaller) and objects of 5 TiB.
MAX_PARTS = 10_000
FIRST_PART_BYTES = 8 * MIB
# The part size doubles every thousand parts: the first 8 GiB go in parts of 8 MiB, and 10,000 parts hold 7.8 TiB.
PARTS_PER_SIZE = 1_000
# Three keep the network busy while one more is filled: at most 32 MiB.
IN_FLIGHT = 3
# The limit of all parts in flight together: memory does not grow with the part size while one part still fits.
IN_FLIGHT_BYTES = IN_FLIGHT * FIRST_PART_BYTES


def part_bytes(number: int) -> int:
    """The size of part `number`, counted from 1."""
    return FIRST_PART_BYTES << ((number - 1) // PARTS_PER_SIZE)


class Upload:
    """One object being written. Leaving the `with` block before `complete` aborts it; nothing is left behind."""

    def __init__(self, client: Any, bucket: str, key: str, *, content_type: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._content_type = content_type
        self._upload_id: str | None = None
        self._filling = bytearray()
        self._parts = 0
        self._in_flight: list[tuple[Future[None], int]] = []
        self._etags: dict[int, str] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._completed = False
        self._object_may_exist = False
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._completed:
            self.abort()
        if self._pool is not None:
            self._pool.shutdown()

    def write(self, data: bytes) -> None:
        """Take bytes; waits while enough parts are in flight. Raises `FileNotWritten` when a part could not be sent."""
        view = memoryview(data)
        self.bytes += len(view)
        while len(view):
            room = part_bytes(self._parts + 1) - len(self._filling)
            self._filling += view[:room]
            view = view[room:]
            if len(self._filling) == part_bytes(self._parts + 1):
                self._send()

    def complete(self) -> None:
        """Make the object appear, whole."""
        with storage_errors(self._key):
            self._object_may_exist = True
            if self._upload_id is None:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._key, Body=bytes(self._filling), ContentType=self._content_type
                )
            else:
                if self._filling:
                    self._send()
                self._wait_until(lambda: False)
                parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(self._etags.items())]
                self._client.complete_multipart_upload(
                    Bucket=self._bucket, Key=self._key, UploadId=self._upload_id, MultipartUpload={"Parts": parts}
                )
        self._filling = bytearray()
        self._completed = True

    def abort(self) -> None:
        """Leave no part, no upload and no object. What cannot be removed now, the bucket's lifecycle removes."""
        self._filling = bytearray()
        for future, _ in self._in_flight:
            future.cancel()
        for future, _ in self._in_flight:
            # S3 would keep, and bill, a part that arrives after the upload was aborted.
            with suppress(BaseException):
                future.result()
        self._in_flight = []
        if self._upload_id is not None:
            with suppress(Exception):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload_id)
        if self._object_may_exist:
            # S3 may have carried out the last call although its answer was lost.
            with suppress(Exception):
                self._client.delete_object(Bucket=self._bucket, Key=self._key)

    def _send(self) -> None:
        if self._parts == MAX_PARTS:
            raise FileNotWritten(f"The file is larger than S3 can take in {MAX_PARTS} parts.")
        with storage_errors(self._key):
            if self._upload_id is None or self._pool is None:
                self._upload_id = self._client.create_multipart_upload(
                    Bucket=self._bucket, Key=self._key, ContentType=self._content_type
                )["UploadId"]
                self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="upload")
            body, self._filling = self._filling, bytearray()
            self._wait_until(lambda: self._fits(len(body)))
            self._parts += 1
            self._in_flight.append((self._pool.submit(self._send_part, self._upload_id, self._parts, body), len(body)))

    def _fits(self, size: int) -> bool:
        in_flight = sum(size for _, size in self._in_flight)
        return len(self._in_flight) < IN_FLIGHT and in_flight + size <= IN_FLIGHT_BYTES

    def _send_part(self, upload_id: str, number: int, body: bytearray) -> None:
        answer = self._client.upload_part(
            Bucket=self._bucket, Key=self._key, UploadId=upload_id, PartNumber=number, Body=body
        )
        self._etags[number] = answer["ETag"]

    def _wait_until(self, enough: Callable[[], bool]) -> None:
        """Wait for the oldest parts until `enough`, or none is left; raise the error of a part that failed."""
        while self._in_flight and not enough():
            self._in_flight[0][0].result()
            self._in_flight.pop(0)


@contextmanager
def storage_errors(key: str) -> Iterator[None]:
    """Turn what boto3 and `aws/batches.py` raise into a `FileNotWritten` that names the object and what S3 said."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        raise FileNotWritten(f"S3 refused {key}: {said.get('Code', '?')} {said.get('Message', '')}".rstrip()) from error
    except Unavailable as error:
        raise FileNotWritten(f"S3 refused a part of {key}: {error.message}") from error
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise FileNotWritten(f"S3 cannot be reached for {key}: {error}") from error


def put(client: Any, bucket: str, key: str, body: bytes, *, content_type: str) -> None:
    """Write a small object in one call."""
    with storage_errors(key):
        client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)
