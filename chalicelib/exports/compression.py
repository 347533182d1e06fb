"""Compresses blocks of bytes one by one, in the caller's thread."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

# isal's level 1 is 11 times as fast as zlib's level 6 for 14 % more bytes; its higher levels win little.
LEVEL = 1
# zlib's notation for a window of 32 KiB (15) inside a gzip member (+16). isal writes mtime 0 into the header, so the
# same rows give the same bytes.
GZIP_WBITS = 15 + 16


class Compression(StrEnum):
    NONE = "none"
    GZIP = "gzip"

    @property
    def extension(self) -> str:
        """What a file's name ends with, after the format's own ending."""
        return ".gz" if self is Compression.GZIP else ""

    def content_type(self, plain: str) -> str:
        # No Content-Encoding: a browser would unpack the download, and its bytes would differ from the manifest's.
        return "application/gzip" if self is Compression.GZIP else plain

    def start(self) -> Compressor:
        return _Gzip() if self is Compression.GZIP else _None()


class Compressor(Protocol):
    def compress(self, block: bytes) -> bytes:
        """Take a block; the compressed bytes that are ready, perhaps none."""

    def end(self) -> bytes:
        """End the compressed stream; its last bytes."""


class _None:
    def compress(self, block: bytes) -> bytes:
        return block

    def end(self) -> bytes:
        return b""


class _Gzip:
    def __init__(self) -> None:
        from isal import isal_zlib

        self._stream = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, GZIP_WBITS)

    def compress(self, block: bytes) -> bytes:
        packed: bytes = self._stream.compress(block)
        return packed

    def end(self) -> bytes:
        rest: bytes = self._stream.flush()
        return rest
