"""A record of 400 KB, which is all that DynamoDB holds: what it refuses, and how the job ends all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chalicelib.core.lifecycle import JobStatus, Reason
from chalicelib.errors import RecordTooLarge
from chalicelib.store import job_transitions, jobs
from chalicelib.store.runs import RunRecord
from tests.store.test_contract import NOW, saved
from tests.support.exact_sizes import exact_sizes
from tests.support.large_records import fill_up
from tests.support.world import World


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact_sizes():
        yield


def test_a_record_that_cannot_grow_can_end(backend: World) -> None:
    """Its claim is refused by DynamoDB; an end takes out what the job was to do."""
    for target, reason in ((JobStatus.FAILED, Reason.UNCLAIMABLE), (JobStatus.CANCELED, Reason.BY_USER)):
        job = fill_up(saved(), leaving=5)
        with pytest.raises(RecordTooLarge):
            job_transitions.claim(job, worker="w" * 40, fence="f" * 26, lease_until=NOW, now=NOW)
        stands = jobs.get(job.job_id)
        assert stands.status == JobStatus.WAITING
        assert job_transitions.end_without_run(stands, target, reason=reason, error="e" * 500, now=NOW)
        ended = jobs.get(job.job_id)
        assert (ended.status, ended.reason, ended.spec) == (target, reason, {})


def test_a_run_whose_end_finds_no_room_ends(backend: World) -> None:
    job = saved()
    assert job_transitions.claim(job, worker="w", fence="f1", lease_until=NOW, now=NOW)
    fill_up(job, leaving=5)
    run = RunRecord(job.job_id, job.run_no, rows=1, summary="s" * 100)
    assert job_transitions.end_with_run(job, JobStatus.FAILED, run, reason=Reason.ERROR, error="e" * 500, now=NOW)
    assert jobs.get(job.job_id).error == "e" * 500
