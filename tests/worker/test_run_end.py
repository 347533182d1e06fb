from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus, RunStatus
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.settings import settings
from chalicelib.storage.bucket import s3
from chalicelib.storage.layout import file_key
from chalicelib.store import jobs as job_store
from chalicelib.store import runs
from tests.support.probe import started
from tests.support.simulator import PROBE, Stage


def test_an_end_that_the_client_wrote_twice_keeps_its_files(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the write was lost, and botocore made it again: the second is refused by the first."""

    def leaves_a_file(context: RunContext) -> Outcome:
        key = file_key(context.facts.kind, context.facts.job_id, context.facts.run_no, 1, "data.csv")
        s3().put_object(Bucket=settings().bucket, Key=key, Body=b"1")
        return Outcome(rows=1, files=[{"key": key, "file_name": "data.csv"}])

    end = runs.end

    def twice(run: Any, **named: Any) -> bool:
        assert end(run, **named)
        return end(run, **named)

    monkeypatch.setattr(runs, "end", twice)
    PROBE.behaviour = leaves_a_file
    job = started(stage)
    stage.deliver()
    [run] = stage.runs()
    assert run.status == RunStatus.SUCCEEDED
    assert job_store.get(job.job_id).status == JobStatus.SUCCEEDED
    assert [file["key"] for file in run.files] == [key for key in stage.world.objects() if key.startswith("files/")]
