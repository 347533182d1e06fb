"""The files of one run: one for each query, and the manifest that says that they are whole."""

from __future__ import annotations

import hashlib
from typing import Any

from chalicelib import clock
from chalicelib.core import file_name
from chalicelib.errors import (
    EmptyResult,
    Invalid,
    RunError,
)
from chalicelib.exports import manifest, pipeline
from chalicelib.exports.compression import Compression
from chalicelib.exports.formats.registry import format_of
from chalicelib.kinds.protocol import JobFacts, RunContext
from chalicelib.kinds.report_export.spec import IfEmpty, Report, ReportExportSpec
from chalicelib.sources.protocol import Query, Source, Tls
from chalicelib.storage import layout, upload

# A progress line after this time or this size, which of them comes first.
LINE_SECONDS = 10.0
LINE_BYTES = 64 << 20


class Export:
    """The files of one run."""

    def __init__(
        self,
        client: Any,
        bucket: str,
        context: RunContext,
        spec: ReportExportSpec,
        report: Report,
        source_name: str,
    ):
        self._context = context
        self._facts: JobFacts = context.facts
        self._spec = spec
        self._report = report
        self._source_name = source_name
        self._client = client
        self._bucket = bucket
        self._rows = 0
        self._bytes = 0

    def write(self, source: Source, number: int, query: Query, tls: Tls | None) -> manifest.Manifest:
        """Write one file; `tls` is how the connection to the source is protected."""
        context, facts, spec, form = self._context, self._facts, self._spec, format_of(self._spec.format)
        context.check()
        started_at, began = clock.now(), clock.monotonic()
        name = self._file_name(query.name)
        key = layout.file_key(facts.kind, facts.job_id, facts.run_no, number, name)
        columns = source.describe(query)
        context.log("INFO", f"Query {query.name!r} begun: {len(columns)} columns.")
        written = pipeline.write_file(
            lambda sink: form.extract(source, query, spec.options, sink),
            self._client,
            self._bucket,
            key,
            content_type=form.content_type,
            compression=spec.compression,
            progress=_Progress(context, query.name, self._bytes).tell,
            check=context.check,
            accept=lambda rows: self._accept(query.name, rows),
        )
        self._rows += written.rows
        self._bytes += written.uncompressed_bytes
        context.progress(rows=self._rows, bytes=self._bytes)
        seconds = clock.monotonic() - began
        context.log(
            "INFO",
            f"File {name} finished: {written.rows:,} rows, {written.bytes:,} bytes"
            f"{f' ({written.uncompressed_bytes:,} unpacked)' if spec.compression is not Compression.NONE else ''}"
            f" in {seconds:.1f} s.",
        )
        return manifest.Manifest(
            file_name=name,
            key=key,
            format=spec.format,
            compression=spec.compression,
            rows=written.rows,
            bytes=written.bytes,
            uncompressed_bytes=written.uncompressed_bytes,
            sha256=written.sha256,
            columns=tuple(column.as_dict() for column in columns),
            query=query.name,
            source_id=self._report.source_id,
            source_name=self._source_name,
            window_start=facts.window_start,
            window_end=facts.window_end,
            started_at=started_at,
            finished_at=clock.now(),
            source_tls=None if tls is None else tls.value,
        )

    def write_manifest(self, files: list[manifest.Manifest]) -> dict[str, Any]:
        """Write the run's last object: its `key`, `sha256` and `bytes`. Where it is, all files are whole."""
        facts = self._facts
        body = manifest.dump(facts.job_id, facts.run_no, files)
        key = layout.manifest_key(facts.kind, facts.job_id, facts.run_no)
        upload.put(self._client, self._bucket, key, body, content_type="application/json")
        return {"key": key, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}

    def discard(self) -> None:
        """Remove the run's files after a failure. The worker and `sweep` try again when this cannot be done now."""
        try:
            facts = self._facts
            layout.discard_run(self._client, self._bucket, facts.kind, facts.job_id, facts.run_no)
        except RunError as error:
            self._context.log("WARN", f"The unfinished files could not be removed yet: {error.message}")

    def _accept(self, query_name: str, rows: int) -> None:
        if rows == 0 and self._spec.if_empty is IfEmpty.FAIL:
            raise EmptyResult(f"Query {query_name!r} gave no rows, and the task asks for at least one.")

    def _file_name(self, query_name: str) -> str:
        facts = self._facts
        has_window = facts.window_start is not None and facts.window_end is not None
        try:
            return file_name.render(
                self._spec.template(has_window=has_window, many=len(self._report.queries) > 1),
                task=facts.task_name,
                window_start=facts.window_start,
                window_end=facts.window_end,
                scheduled_for=facts.scheduled_for,
                timezone=facts.timezone,
                job_id=facts.job_id,
                query=query_name,
                extension=self._spec.extension,
            )
        except Invalid as error:
            raise RunError(f"The file cannot be named: {error.message}") from error


class _Progress:
    """Tells the run how far a file is, and the log from time to time."""

    def __init__(self, context: RunContext, query_name: str, bytes_before: int) -> None:
        self._context = context
        self._bytes_before = bytes_before
        self._query_name = query_name
        self._told_at = clock.monotonic()
        self._told_bytes = 0

    def tell(self, total: int) -> None:
        self._context.progress(bytes=self._bytes_before + total)
        if clock.monotonic() - self._told_at >= LINE_SECONDS or total - self._told_bytes >= LINE_BYTES:
            self._told_at, self._told_bytes = clock.monotonic(), total
            self._context.log("INFO", f"Query {self._query_name!r}: {total / 1e6:,.0f} MB so far.", type="progress")
