"""Writes logs in chunks that fit, few of them, beside other writers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from chalicelib.core.log_lines import LogLine
from chalicelib.logs.writer import RunLog
from chalicelib.store import jobs as job_store
from chalicelib.store import logs as log_store
from tests.support.dying import Died, dies
from tests.support.probe import started
from tests.support.run_logs import job_with_log, traffic
from tests.support.simulator import Stage


def test_a_small_job_costs_one_chunk_and_one_object(stage: Stage) -> None:
    job = started(stage)
    with traffic() as counted:
        stage.deliver()
    assert counted.calls == [("PutItem", ""), ("PutObject", f"logs/probe/{job.job_id}/1.jsonl.gz")]
    assert counted.write_units == 1


def test_lines_of_letters_that_take_the_most_bytes_fit_their_items(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    log = RunLog(job_store.get(job.job_id), stage.clock)
    with traffic() as counted:
        for number in range(600):
            log.add("ERROR", chr(number % 32) * 5_000 + "\ud800", type="run")
        log.flush()
    assert counted.largest_item < 300 * 1024
    assert len(list(log_store.read(job.job_id, 1, after=2))) == 600


def test_lines_buffered_while_the_table_refused_writes_go_out_in_chunks_that_fit(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = started(stage)
    stage.deliver()
    log = RunLog(job_store.get(job.job_id), stage.clock)
    with monkeypatch.context() as patch:
        patch.setattr(log_store, "append", dies)
        for number in range(900):
            with suppress(Died):
                log.add("INFO", f"{number:04} " + "é" * 1_400, type="run")
    log.flush()
    kept = list(log_store.read(job.job_id, 1, after=2))
    assert [line.message[:4] for line in kept] == [f"{number:04}" for number in range(900)]


# --- several writers --------------------------------------------------------------------------------------------------


def lines(*texts: str, level: str = "INFO") -> list[LogLine]:
    return [LogLine(0, "t", level, "run", text) for text in texts]


def test_two_writers_of_one_log_never_overwrite_each_other(stage: Stage) -> None:
    for after, texts in ((0, ("a1", "a2")), (0, ("b1",)), (2, ("a3", "a4")), (3, ("b2",)), (5, ("a5",))):
        log_store.append("j", 1, lines(*texts, level="WARN"), after=after, now=stage.now)
    for alerts in (False, True):
        found = list(log_store.read("j", 1, alerts=alerts))
        assert [line.message for line in found] == ["a1", "a2", "b1", "a3", "a4", "b2", "a5"]
        assert [line.sequence for line in found] == list(range(1, 8))


def test_a_write_whose_answer_was_lost_is_not_doubled(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_store.get(job_with_log(stage).job_id)
    log = RunLog(job, stage.clock, _last_sequence=453)
    log.add("WARN", "once", type="run")
    append = log_store.append

    def answer_lost(*given: Any, **more: Any) -> list[LogLine]:
        append(*given, **more)
        raise ConnectionError

    monkeypatch.setattr(log_store, "append", answer_lost)
    with pytest.raises(ConnectionError):
        log.flush()
    monkeypatch.setattr(log_store, "append", append)
    log.add("INFO", "next", type="run")
    log.flush()
    assert [(line.sequence, line.message) for line in log_store.read(job.job_id, 1, after=453)] == [
        (454, "once"),
        (455, "next"),
    ]
