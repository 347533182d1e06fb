"""Archives the log of a run at its end, also when its worker was lost; reads a long one in parts."""

from __future__ import annotations

import pytest

from chalicelib.core.lifecycle import JobStatus
from chalicelib.jobs import deletion
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.logs import reader as log_reader
from chalicelib.logs.writer import RunLog
from chalicelib.maintenance import sweep
from chalicelib.store import job_updates
from chalicelib.store import jobs as job_store
from chalicelib.store import logs as log_store
from chalicelib.store.job_record import JobRecord
from tests.support.dying import Died, dies
from tests.support.probe import started
from tests.support.run_logs import expire, job_with_log, messages, pages, traffic
from tests.support.simulator import OPERATOR, PROBE, Stage

MANY = 100_000


def long_run(stage: Stage) -> JobRecord:
    """An ended run of 100,000 lines, every thousandth an alert, written as a worker writes them."""
    job = started(stage)
    stage.deliver()
    job = job_store.get(job.job_id)
    log_store.remove(job.job_id, 1)
    log = RunLog(job, stage.clock)
    for number in range(1, MANY + 1):
        level = "ERROR" if number % 1_000 == 0 else "INFO"
        log.add(level, f"Row {number}: account {number * 7919 % 100_003} was read and compared.", type="run")
    log.archive()
    return job


def test_a_hundred_thousand_lines_are_cheap_to_write_to_page_and_to_scan_for_alerts(stage: Stage) -> None:
    with traffic() as written:
        job = long_run(stage)
    assert written.count("PutItem") < 200
    assert written.write_units < 2_500, "15,000 without compression"
    assert written.count("PutObject") == 1 + 2, "the first is of the run whose record is reused"

    with traffic() as page:
        middle, cursor = log_reader.read_page(job.job_id, cursor="1-70000")
    assert ([line["sequence"] for line in middle], cursor) == (list(range(70_001, 70_201)), "1-70200")
    assert page.count("GetObject") == 2
    assert page.bytes_read < 64 * 1024 + 60_000
    assert page.chunks_read == 0

    with traffic() as alerts:
        assert len(messages(job, level="alert")) == 100
    assert alerts.count("GetObject", of="1-alerts.jsonl.gz") == 1
    assert alerts.count("GetObject") == 1
    assert alerts.chunks_read == 0

    live = log_store.read(job.job_id, 1, after=70_000)
    with traffic() as table:
        assert [next(live).sequence for _ in range(200)] == list(range(70_001, 70_201))
    assert table.chunks_read <= 1 + log_store.FIRST_READ
    assert sum(1 for _ in log_store.read(job.job_id, 1, alerts=True)) == 100

    log_store.remove(job.job_id, 1)
    assert log_reader.read_page(job.job_id, cursor="1-70000") == (middle, cursor)
    with traffic() as whole:
        found, left = log_reader.read_page(job.job_id, search="row 49999:")
    assert ([line["sequence"] for line in found], left) == ([49_999], "1-50000")
    assert whole.count("GetObject") < 8


# --- how a run ends ---------------------------------------------------------------------------------------------------


def test_the_log_of_a_lost_run_says_once_that_its_worker_was_lost_and_is_archived_before_its_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies_half_way(context: RunContext) -> Outcome:
        context.log("INFO", "half way")
        context.run_log.flush()  # type: ignore[attr-defined]
        raise Died

    PROBE.behaviour = dies_half_way
    job = started(stage)
    with pytest.raises(Died):
        stage.deliver()
    stage.messages.clear()
    stage.world.forward(seconds=1_000)
    with monkeypatch.context() as patch:
        patch.setattr(sweep.runs, "end", dies)
        with pytest.raises(Died):
            stage.sweep()
    assert f"logs/probe/{job.job_id}/1.jsonl.gz" in stage.world.objects()
    stage.sweep()
    expire(stage, job)
    lost = "The worker was lost: its lease ran out before it wrote an end."
    assert messages(job) == ["Attempt 1 begins on worker worker-1.", "half way", lost]
    assert messages(job, level="ERROR") == [lost]
    assert job_store.get(job.job_id).status == JobStatus.FAILED


def test_a_late_result_is_in_the_archive_of_a_run_that_the_sweep_ended(stage: Stage) -> None:
    def slow(context: RunContext) -> Outcome:
        stage.world.forward(seconds=2_000)
        stage.sweep()
        context.log("INFO", "back again")
        return Outcome(rows=1)

    PROBE.behaviour = slow
    job = started(stage)
    stage.deliver()
    fresh = messages(job)
    expire(stage, job)
    assert messages(job) == fresh
    assert [line["sequence"] for line in pages(job)] == [1, 2, 3, 4, 5]
    assert ["lease ran out" in line for line in fresh] == [True, False, False, False, False]
    assert "changes nothing" in fresh[-1]
    assert len(messages(job, level="alert")) == 2


def test_a_result_that_comes_while_its_job_is_being_deleted_leaves_nothing(stage: Stage) -> None:
    def slow(context: RunContext) -> Outcome:
        stage.world.forward(seconds=2_000)
        stage.sweep()
        ended = job_store.get(context.facts.job_id)
        assert deletion.begin(ended, actor=OPERATOR, at=stage.now, now=stage.now)
        deletion.remove_files_logs_and_runs(ended)
        return Outcome(rows=1)

    PROBE.behaviour = slow
    job = started(stage)
    stage.deliver()
    assert job_updates.delete(job_store.get(job.job_id))
    assert (stage.world.objects(), stage.world.items("logs")) == ({}, [])


def test_a_run_that_ends_while_the_sweep_repairs_it_keeps_its_whole_log(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep overwrites the worker's archive, then finds that the run has ended."""
    job = job_with_log(stage)
    record = job_store.get(job.job_id)
    record.status = JobStatus.RUNNING
    monkeypatch.setattr(sweep.runs, "find", lambda *_: None)
    sweep._repair_active(record, sweep.SweepResult(), now=stage.now)
    expire(stage, job)
    assert messages(job)[452] == "Done."
    assert job_store.get(job.job_id).status == JobStatus.SUCCEEDED
