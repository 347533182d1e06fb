"""How long records live: jobs and their runs together, by kind, whatever happens to the job in between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib import retention
from chalicelib.errors import ConnectionDropped, FileNotAvailable
from chalicelib.jobs import actions
from chalicelib.jobs import detail as job_detail
from chalicelib.jobs import files as job_files
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.settings import settings
from chalicelib.store.runs import RunRecord
from tests.support.probe import RETRY, failing_until, started
from tests.support.simulator import OPERATOR, PROBE, Stage


@pytest.fixture
def fresh() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def by_kind(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARILLON_RETENTION_DAYS", "30")
    monkeypatch.setenv("CARILLON_RETENTION_DAYS_BY_KIND", '{"probe": 7}')


@pytest.mark.usefixtures("by_kind")
def test_a_kind_has_its_own_days_or_the_general_ones() -> None:
    assert (retention.days_of("probe"), retention.days_of("report_export"), retention.longest_days()) == (7, 30, 30)


@pytest.mark.usefixtures("by_kind")
@pytest.mark.parametrize(
    ("at", "gone"),
    [
        ("2026-03-02T09:00:00+00:00", "2026-03-10T00:00:00+00:00"),
        ("2026-03-02T23:59:59+00:00", "2026-03-10T00:00:00+00:00"),
        ("2026-03-02T00:00:00+00:00", "2026-03-09T00:00:00+00:00"),  # at midnight: exactly its days
        ("2026-03-03T07:30:00+08:00", "2026-03-10T00:00:00+00:00"),  # UTC counts
    ],
)
def test_what_expires_does_so_at_a_midnight_as_in_the_bucket(at: str, gone: str) -> None:
    assert retention.expires_at("probe", datetime.fromisoformat(at)) == datetime.fromisoformat(gone)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CARILLON_RETENTION_DAYS", "ninety", "must be a whole number"),
        ("CARILLON_RETENTION_DAYS", "0", "must be 1 or more days"),
        ("CARILLON_RETENTION_DAYS_BY_KIND", "{", "must be a JSON object"),
        ("CARILLON_RETENTION_DAYS_BY_KIND", "[7]", "must be a JSON object"),
        ("CARILLON_RETENTION_DAYS_BY_KIND", '{"probe": 0}', "'probe' has 0"),
        ("CARILLON_RETENTION_DAYS_BY_KIND", '{"probe": "7"}', "'probe' has '7'"),
        ("CARILLON_RETENTION_DAYS_BY_KIND", '{"probe": 7.5}', "'probe' has 7.5"),
        ("CARILLON_RETENTION_DAYS_BY_KIND", '{"probe": true}', "'probe' has True"),
    ],
)
def test_a_number_of_days_that_cannot_be_names_its_variable(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=words) as refused:
        settings()
    assert str(refused.value).startswith(name)


def end_of(stage: Stage) -> datetime:
    return retention.expires_at("probe", stage.now)


def ends_of_runs(stage: Stage) -> list[datetime | None]:
    return [run.expires_at for run in stage.runs()]


@pytest.mark.parametrize("attempts", [1, 3])
def test_runs_expire_with_their_job(stage: Stage, attempts: int) -> None:
    failing_until(attempts)
    job = started(stage, retry=RETRY)
    stage.minutes(4)
    found = job_detail.get(job.job_id)
    assert ends_of_runs(stage) == [found.expires_at] * attempts
    assert found.expires_at == retention.expires_at("probe", found.ended_at)


def test_while_a_job_is_open_neither_it_nor_its_runs_expire(stage: Stage) -> None:
    failing_until(3)
    job = started(stage, retry=RETRY | {"delay_seconds": 600})
    stage.minutes(2)
    assert (job_detail.get(job.job_id).expires_at, ends_of_runs(stage)) == (None, [None])


def test_a_job_dropped_between_its_attempts_takes_its_runs_along(stage: Stage) -> None:
    failing_until(3)
    job = started(stage, retry=RETRY | {"delay_seconds": 600})
    stage.minutes(2)
    actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)
    assert [job_detail.get(job.job_id).expires_at] == ends_of_runs(stage) == [end_of(stage)]


def test_the_runs_of_a_job_that_is_run_again_late_outlive_their_first_day(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    first = job_detail.get(job.job_id).expires_at
    stage.world.forward(days=89)
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    assert job_detail.get(job.job_id).expires_at is None
    assert all(end > first + timedelta(days=3_000) for end in ends_of_runs(stage) if end is not None)
    stage.world.forward(days=2)
    stage.sweep()
    stage.deliver()
    found = job_detail.get(job.job_id)
    assert (found.status, found.run_no) == ("succeeded", 2)
    assert ends_of_runs(stage) == [found.expires_at] * 2 == [end_of(stage)] * 2


def test_no_run_expires_before_its_job_when_midnight_passes_between_their_ends(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = started(stage)
    stage.world.now = datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)
    end = RunRecord.update

    def slowly(self: RunRecord, *given: Any, **named: Any) -> Any:
        answer = end(self, *given, **named)
        if self.ended_at is not None:
            stage.world.now = datetime(2026, 3, 3, 0, 0, 1, tzinfo=UTC)
        return answer

    monkeypatch.setattr(RunRecord, "update", slowly)
    stage.deliver()
    # Ended by the instant that the worker read before it wrote anything.
    assert ends_of_runs(stage) == [job_detail.get(job.job_id).expires_at]


def test_a_lost_workers_run_expires_with_the_job(stage: Stage) -> None:
    def dies(context: RunContext) -> Outcome:
        raise KeyboardInterrupt

    PROBE.behaviour = dies
    started(stage)
    with pytest.raises(KeyboardInterrupt):
        stage.deliver()
    stage.messages.clear()
    stage.world.forward(seconds=2_000)
    stage.sweep()
    [job] = stage.jobs()
    assert [job.expires_at] == ends_of_runs(stage) == [end_of(stage)]


@pytest.mark.usefixtures("by_kind")
def test_a_download_past_the_files_last_day_says_so(stage: Stage) -> None:
    made_at = stage.now.isoformat()
    manifest = {"key": "k", "file_name": "f", "sha256": "s", "bytes": 1, "rows": 1, "started_at": made_at}
    PROBE.behaviour = lambda context: Outcome(files=[manifest])
    job = started(stage)
    stage.deliver()
    last = end_of(stage) - timedelta(seconds=1)
    assert len(job_files.links(job.job_id, now=last)) == 1
    with pytest.raises(FileNotAvailable, match="expired on 2026-03-10, 7 days after its run"):
        job_files.links(job.job_id, now=last + timedelta(seconds=1))


def test_a_run_that_fails_is_not_given_an_end_of_its_own(stage: Stage) -> None:
    """Its job may be open for longer than any retention."""

    def fails(context: RunContext) -> Outcome:
        raise ConnectionDropped("drop")

    PROBE.behaviour = fails
    job = started(stage, retry=RETRY | {"max_attempts": 2})
    stage.deliver()
    assert ends_of_runs(stage) == [None]
    stage.minutes(2)
    assert ends_of_runs(stage) == [job_detail.get(job.job_id).expires_at] * 2
