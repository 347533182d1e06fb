"""What a format of files is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Sink = Callable[[bytes], object]


class GivesCsv(Protocol):
    """A source, as far as a format uses it (sources/protocol.py)."""

    def export_csv(self, query: Any, options: Any, sink: Sink) -> int: ...


class Format(Protocol):
    # What a file's name ends with, before the ending of its compression: `.csv`.
    extension: str
    # Of the file when it is not compressed.
    content_type: str

    def extract(self, source: GivesCsv, query: Any, options: Any, sink: Sink) -> int:
        """Push the whole result of a query into `sink`, block by block; the number of rows. `options` is the
        spec's field of the format's name, None where it has none.
        """
