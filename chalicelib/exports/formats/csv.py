"""CSV: the source itself writes it."""

from __future__ import annotations

from typing import Any

from chalicelib.exports.formats.protocol import GivesCsv, Sink


class Csv:
    extension = ".csv"
    content_type = "text/csv; charset=utf-8"

    def extract(self, source: GivesCsv, query: Any, options: Any, sink: Sink) -> int:
        return source.export_csv(query, options, sink)
