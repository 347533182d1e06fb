"""Kind `report_export`: run a report's queries and leave each result as a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chalicelib.core import file_name
from chalicelib.core.model_errors import field_problems
from chalicelib.core.schedules.window import window_parameters
from chalicelib.errors import (
    FieldProblem,
    Invalid,
    NotFound,
    ParametersRefused,
    PreconditionMissing,
    QueryFailed,
)
from chalicelib.exports import manifest
from chalicelib.kinds.protocol import Outcome, RunContext, Target
from chalicelib.kinds.report_export.definition import definition_of, values_shown
from chalicelib.kinds.report_export.export import Export
from chalicelib.kinds.report_export.spec import Report, ReportExportSpec, SourceRecord
from chalicelib.sources.parameters import mistakes, resolve_parameters
from chalicelib.sources.protocol import Query, Tls
from chalicelib.sources.registry import SOURCES, dialect_of, open_source
from chalicelib.sources.sql import parse

NO_REPORT = "no_report"
NO_SOURCE = "no_source"


@dataclass(frozen=True)
class Ports:
    """What `wiring.py` hands in. The records are mappings shaped like `Report` and `SourceRecord`; None, or a
    `NotFound`, says that there is no such record.
    """

    load_report: Callable[[str], Mapping[str, Any] | None]
    load_source: Callable[[str], Mapping[str, Any] | None]
    load_secret: Callable[[str, str | None], str | None]  # the password of a source id, in the version of its record
    s3: Callable[[], Any]
    bucket: str
    data_folder: str | Path | None = None
    # A report and a source by their ids, in one call; None for one that does not exist.
    load_both: Callable[[str, str], tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]] | None = None


class ReportExport:
    Spec = ReportExportSpec
    preconditions = frozenset({NO_REPORT, NO_SOURCE})
    definition_holds = "its report, SQL and file options"

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def check_spec(self, spec: Mapping[str, Any], *, has_window: bool, timezone: str) -> dict[str, Any]:
        try:
            accepted = ReportExportSpec.model_validate(dict(spec))
        except ValidationError as error:
            raise Invalid("The export cannot be accepted.", problems=field_problems(error, "spec")) from None
        try:
            file_name.accept(accepted.template(has_window=has_window, many=False), has_window=has_window)
        except Invalid as error:
            raise Invalid(error.message, field="spec.file_name") from error
        return accepted.model_dump(mode="json")

    def target(self, spec: Mapping[str, Any]) -> Target:
        found = self._find(self._ports.load_report, str(spec["report_id"]))
        return Target(source_id=None if found is None else Report.model_validate(found).source_id)

    def check_parameters(
        self,
        spec: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        has_window: bool,
        complete: bool,
        candidate: Mapping[str, Any] | None = None,
    ) -> None:
        wanted = ReportExportSpec.model_validate(dict(spec))
        found = candidate or self._find(self._ports.load_report, wanted.report_id)
        if found is None:
            raise Invalid(f"There is no report {wanted.report_id}.", field="spec.report_id")
        report = Report.model_validate(found)
        problems = mistakes(report.parameters, wanted.parameters, "spec.parameters")
        problems += mistakes(report.parameters, parameters)
        if complete and not problems:
            try:
                resolve_parameters(report.parameters, {**wanted.parameters, **parameters})
            except ParametersRefused as error:
                problems += error.problems
        if not has_window:
            problems += self._needing_a_window(report)
        if problems:
            raise Invalid(" ".join(problem.message for problem in problems), problems=problems)

    def _needing_a_window(self, report: Report) -> list[FieldProblem]:
        """The catalogue checked the report when it was saved, so the run reports a query that cannot be read now."""
        found = self._find(self._ports.load_source, report.source_id)
        kind = None if found is None else SourceRecord.model_validate(found).kind
        if kind not in SOURCES:
            return []
        dialect = dialect_of(kind)
        words: list[str] = []
        for query in report.queries:
            with suppress(QueryFailed):
                words.append(parse(query.sql, dialect, query.name).window_words(query.name))
        return [FieldProblem("window", each) for each in words if each][:1]

    def definition(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        wanted = ReportExportSpec.model_validate(dict(spec))
        found = self._find(self._ports.load_report, wanted.report_id)
        if found is None:
            return {}
        report = Report.model_validate(found)
        source = self._find(self._ports.load_source, report.source_id)
        return definition_of(wanted, report, None if source is None else SourceRecord.model_validate(source))

    def run(self, context: RunContext) -> Outcome:
        facts = context.facts
        spec = ReportExportSpec.model_validate(dict(facts.spec))
        report, record = self._records(spec.report_id, facts.source_id)
        slot = window_parameters(facts.window_start, facts.window_end, facts.scheduled_for, facts.timezone)
        values = resolve_parameters(report.parameters, {**spec.parameters, **facts.parameters}, slot)
        try:
            source = open_source(
                record.kind,
                record.settings,
                self._ports.load_secret(report.source_id, record.secret_version) if record.has_secret else None,
                statement_timeout_seconds=facts.statement_timeout_seconds,
                data_folder=self._ports.data_folder,
                application_name=f"carillon {facts.job_id}",
            )
        except Invalid as error:
            problems = " ".join(f"{problem.field}: {problem.message}" for problem in error.problems)
            raise PreconditionMissing(f"Source {record.name!r} cannot be used. {problems}", reason=NO_SOURCE) from error
        context.define(definition_of(spec, report, record) | {"parameters": values_shown(values)})
        export = Export(self._ports.s3(), self._ports.bucket, context, spec, report, record.name)
        try:
            with source:
                context.on_stop(source.cancel)
                try:
                    context.log("INFO", f"Connecting to source {record.name!r} ({record.kind}).")
                    info = source.test()
                    context.log("INFO", f"Connected to {info.product} {info.version}{_over(info.tls)}.")
                    files = [
                        export.write(source, number, Query(query.name, query.sql, values), info.tls)
                        for number, query in enumerate(report.queries, start=1)
                    ]
                finally:
                    context.on_stop(None)
            context.check()
            written = export.write_manifest(files)
        except BaseException:
            export.discard()
            raise
        return _outcome(files, written)

    @staticmethod
    def _find(load: Callable[[str], Mapping[str, Any] | None], record_id: str) -> Mapping[str, Any] | None:
        try:
            return load(record_id)
        except NotFound:
            return None

    def _records(self, report_id: str, source_id: str | None) -> tuple[Report, SourceRecord]:
        """The report and its source; `source_id` is that of the source when the job was made."""
        if self._ports.load_both is not None and source_id is not None:
            report, source = self._ports.load_both(report_id, source_id)
            if report is not None and source is not None and report["source_id"] == source_id:
                return Report.model_validate(report), SourceRecord.model_validate(source)
        found = Report.model_validate(self._load(self._ports.load_report, report_id, "report", NO_REPORT))
        source = self._load(self._ports.load_source, found.source_id, "source", NO_SOURCE)
        return found, SourceRecord.model_validate(source)

    def _load(
        self, load: Callable[[str], Mapping[str, Any] | None], record_id: str, what: str, reason: str
    ) -> Mapping[str, Any]:
        found = self._find(load, record_id)
        if found is None:
            raise PreconditionMissing(f"The {what} {record_id} does not exist any more.", reason=reason)
        return found


def _over(tls: Tls | None) -> str:
    """The words for the log about how the connection is protected."""
    words = {Tls.VERIFIED: "over TLS", Tls.UNVERIFIED: "over TLS, the server's identity not checked"}
    return "" if tls is None else f", {words.get(tls, 'in clear, without TLS')}"


def _outcome(files: list[manifest.Manifest], written: dict[str, Any]) -> Outcome:
    rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    summary = f"{rows:,} rows in {count}, {size:,} bytes"
    return Outcome([file.as_dict() for file in files], rows, size, summary, written)
