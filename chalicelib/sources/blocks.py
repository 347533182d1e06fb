"""Collects small writes into blocks of CSV bytes, so large that the work per block does not count."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from chalicelib.sources.csv_options import LineEnds

# Below 1 MiB the Python work per block begins to show; above 4 MiB memory grows and nothing gets faster.
MIN_BLOCK_BYTES = 1 << 20


class BlockWriter(io.RawIOBase):
    """Hands on blocks of at least 1 MiB except the last. A buffered writer may stand on it.

    A sink that failed gets nothing more: a buffered writer that is thrown away still tries to write its rest.
    """

    BUFFER_BYTES = 2 * MIN_BLOCK_BYTES

    def __init__(
        self, sink: Callable[[bytes], object], prologue: bytes = b"", line_ends: LineEnds | None = None
    ) -> None:
        super().__init__()
        self._sink = sink
        self._line_ends = line_ends
        self._waiting = [prologue] if prologue else []
        self._waiting_bytes = len(prologue)
        self._discarding = False
        self.error: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        # A buffered writer passes a view of its own memory, and overwrites it as soon as this returns.
        block = bytes(data)
        if not self._discarding:
            self._add(self._line_ends.convert(block) if self._line_ends else block)
        return len(block)

    def hand_on_last(self) -> None:
        """Hand on what is left, as the last block."""
        if self._waiting and not self._discarding:
            self._hand_on()

    def discard(self) -> None:
        """Drop what is waiting and all that is still written."""
        self._discarding = True
        self._waiting = []

    def _add(self, block: bytes) -> None:
        self._waiting.append(block)
        self._waiting_bytes += len(block)
        if self._waiting_bytes >= MIN_BLOCK_BYTES:
            self._hand_on()

    def _hand_on(self) -> None:
        block = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        try:
            self._sink(block)
        except BaseException as error:
            self.error = error
            self.discard()
            raise
