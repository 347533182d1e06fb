"""Writes one file: blocks of a format's bytes -> compression -> checksum -> upload.

The order of the writes makes a crash harmless. A file's object appears whole or not at all. The kind writes the
manifest after all files of the run, and the worker publishes them last, in the run's record. What a crash leaves behind
lies under the run's prefix, no record names it, and `storage.layout.discard_run` removes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.exports.compression import Compression
from chalicelib.storage.upload import Upload

# Pushes blocks into the sink that it is given, and returns the number of rows.
Extract = Callable[[Callable[[bytes], None]], int]


@dataclass(frozen=True)
class Written:
    """A file that lies in S3. `bytes` and `sha256` are those of the object."""

    rows: int
    bytes: int
    uncompressed_bytes: int
    sha256: str


def write_file(
    extract: Extract,
    client: Any,
    bucket: str,
    key: str,
    *,
    compression: Compression,
    content_type: str,
    progress: Callable[[int], None] = lambda uncompressed_bytes: None,
    check: Callable[[], None] = lambda: None,
    accept: Callable[[int], None] = lambda rows: None,
) -> Written:
    """Run `extract` and let its bytes become the object `key`; when anything raises, nothing is left behind.
    `content_type` is that of the bytes before compression.

    `check` and `progress` are called for each block: `check` may raise to stop, `progress` gets the uncompressed bytes
    so far. `accept` gets the number of rows before the object appears, and may raise to refuse it.
    """
    digest = hashlib.sha256()
    compressor = compression.start()
    uncompressed = 0
    with Upload(client, bucket, key, content_type=compression.content_type(content_type)) as upload:

        def send(packed: bytes) -> None:
            if packed:
                digest.update(packed)
                upload.write(packed)

        def sink(block: bytes) -> None:
            nonlocal uncompressed
            check()
            uncompressed += len(block)
            send(compressor.compress(block))
            progress(uncompressed)

        rows = extract(sink)
        send(compressor.end())
        check()
        accept(rows)
        upload.complete()
    return Written(rows, upload.bytes, uncompressed, digest.hexdigest())
