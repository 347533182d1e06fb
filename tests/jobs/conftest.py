"""Fixtures for the tests of batches."""

from __future__ import annotations

import pytest

from chalicelib.core.lifecycle import JobStatus, Reason
from chalicelib.jobs import batch_worker
from chalicelib.store import batches as store
from chalicelib.store.job_record import JobRecord
from tests.support.copies import a_job, copies
from tests.support.simulator import Stage


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto's tables may not be read while another thread puts into them."""
    monkeypatch.setattr(batch_worker, "THREADS", 1)


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART_JOBS", 10)


@pytest.fixture
def one_of_each(stage: Stage) -> dict[JobStatus, str]:
    """A job of every status."""
    job = a_job(stage)
    reasons = {JobStatus.CANCELED: Reason.BY_USER, JobStatus.FAILED: Reason.ERROR}
    made = {status: copies(stage, job, 1, status=status, reason=reasons.get(status))[0] for status in JobStatus}
    stage.messages.clear()
    JobRecord(job.job_id).delete()
    return made
