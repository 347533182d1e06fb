"""Kind `toy`: play with toys of a shelf, and leave a list of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from chalicelib.core.model_errors import field_problems
from chalicelib.errors import Invalid, NotFound, PreconditionMissing
from chalicelib.exports import manifest, pipeline
from chalicelib.exports.compression import Compression
from chalicelib.kinds.protocol import Outcome, RunContext, Target
from chalicelib.sources.csv_options import CsvOptions
from chalicelib.sources.protocol import Query
from chalicelib.sources.registry import open_source
from chalicelib.storage import layout, upload
from tests.support.toy_kind.spec import ToySpec

NO_SHELF = "no_shelf"
NO_TOY = "no_toy"
ALL = "SELECT * FROM shelf"


@dataclass(frozen=True)
class Ports:
    """The tables and the bucket, handed in by `wiring.py`."""

    load_source: Callable[[str], Mapping[str, Any]]
    s3: Callable[[], Any]
    bucket: str


class Toy:
    Spec = ToySpec
    preconditions = frozenset({NO_SHELF, NO_TOY})
    definition_holds = "its shelf and the number of toys"

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def check_spec(self, spec: Mapping[str, Any], *, has_window: bool, timezone: str) -> dict[str, Any]:
        try:
            return ToySpec.model_validate(dict(spec)).model_dump(mode="json")
        except ValidationError as error:
            raise Invalid("The toy cannot be accepted.", problems=field_problems(error, "spec")) from None

    def target(self, spec: Mapping[str, Any]) -> Target:
        return Target(source_id=str(spec["source_id"]), action="play")

    def check_parameters(
        self,
        spec: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        has_window: bool,
        complete: bool,
        candidate: Mapping[str, Any] | None = None,
    ) -> None:
        for name in parameters:
            raise Invalid("Toys take no parameters.", field=f"parameters.{name}")

    def definition(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        wanted = ToySpec.model_validate(dict(spec))
        try:
            shelf = self._ports.load_source(wanted.source_id)["name"]
        except NotFound:
            shelf = None
        return {"shelf": shelf, "toys": wanted.toys}

    def run(self, context: RunContext) -> Outcome:
        facts, spec = context.facts, ToySpec.model_validate(dict(context.facts.spec))
        try:
            record = self._ports.load_source(spec.source_id)
        except NotFound:
            raise PreconditionMissing("The shelf is gone.", reason=NO_SHELF) from None
        if record["settings"]["toys"] < spec.toys:
            raise PreconditionMissing(f"The shelf has no {spec.toys} toys.", reason=NO_TOY)
        context.define(self.definition(spec.model_dump()) | {"played": True})
        for number in range(1, spec.toys + 1):
            context.log("INFO", f"Playing with toy {number}.")
            until = time.monotonic() + spec.seconds
            while time.monotonic() < until:
                context.check()
                time.sleep(0.02)
        with open_source(record["kind"], record["settings"], None) as source:
            context.on_stop(source.cancel)
            file = self._listed(context, lambda sink: source.export_csv(Query("toys", ALL), CsvOptions(), sink), record)
            context.on_stop(None)
        client, bucket = self._ports.s3(), self._ports.bucket
        body = manifest.dump(facts.job_id, facts.run_no, [file])
        place = layout.manifest_key(facts.kind, facts.job_id, facts.run_no)
        upload.put(client, bucket, place, body, content_type="application/json")
        return Outcome([file.as_dict()], file.rows, file.bytes, f"{file.rows} toys")

    def _listed(self, context: RunContext, extract: pipeline.Extract, record: Mapping[str, Any]) -> manifest.Manifest:
        facts, started_at = context.facts, datetime.now(UTC)
        key = layout.file_key(facts.kind, facts.job_id, facts.run_no, 1, "toys.csv")
        written = pipeline.write_file(
            extract,
            self._ports.s3(),
            self._ports.bucket,
            key,
            content_type="text/csv",
            compression=Compression.NONE,
            check=context.check,
        )
        return manifest.Manifest(
            file_name="toys.csv",
            key=key,
            format="csv",
            compression=Compression.NONE,
            rows=written.rows,
            bytes=written.bytes,
            uncompressed_bytes=written.uncompressed_bytes,
            sha256=written.sha256,
            columns=(),
            query="toys",
            source_id=record["source_id"],
            source_name=record["name"],
            window_start=facts.window_start,
            window_end=facts.window_end,
            started_at=started_at,
            finished_at=datetime.now(UTC),
        )
