from __future__ import annotations

import pytest

from chalicelib.core.lifecycle import JobStatus
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.logs import writer
from chalicelib.store import jobs as job_store
from chalicelib.store import logs as log_store
from tests.support.failing import failing, throttled
from tests.support.probe import messages_of, started
from tests.support.simulator import PROBE, Stage

LINES = 30


def test_a_log_that_is_throttled_fails_no_run_and_loses_no_line(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_store, "CHUNK_LINES", 10)

    def talks(context: RunContext) -> Outcome:
        with failing("dynamodb", "PutItem", containing="test-logs", error=throttled()) as failed:
            for number in range(LINES):
                context.log("INFO", f"line {number}")
        assert failed.failed > 0
        return Outcome(rows=1)

    PROBE.behaviour = talks
    job = started(stage)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert done.status == JobStatus.SUCCEEDED
    said = messages_of(done)
    assert [line for line in said if line.startswith("line ")] == [f"line {number}" for number in range(LINES)]


def test_lines_that_wait_for_the_table_are_bounded_and_the_loss_is_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_store, "CHUNK_LINES", 10)
    monkeypatch.setattr(writer, "MOST_LINES", 20)

    def talks(context: RunContext) -> Outcome:
        with failing("dynamodb", "PutItem", containing="test-logs", error=throttled()):
            for number in range(100):
                context.log("INFO", f"line {number}")
        return Outcome(rows=1)

    PROBE.behaviour = talks
    job = started(stage)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert done.status == JobStatus.SUCCEEDED
    assert any("earlier lines were lost" in message for message in messages_of(done, alerts=True))
    assert len(messages_of(done)) < 50
