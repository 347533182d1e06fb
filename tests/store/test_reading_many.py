"""Reading many records: DynamoDB may leave some out of an answer, and each of them is asked for again."""

from __future__ import annotations

import pytest

from chalicelib.core.ids import ulid
from chalicelib.errors import Unavailable
from chalicelib.store import base, jobs, runs
from chalicelib.store.job_walks import runs_of
from tests.store.test_contract import NOW, saved
from tests.support.partial import refusing
from tests.support.world import World


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.clock.pause", lambda longest: None)


def test_more_records_than_one_call_reads_are_read(backend: World) -> None:
    ids = [saved(job_id=ulid(NOW)).job_id for _ in range(base.KEYS_PER_CALL + 3)]
    found = jobs.get_many([*ids, *ids, "none"])
    assert sorted(job.job_id for job in found) == sorted(ids)


def test_records_with_a_range_key_are_read(backend: World) -> None:
    for number in (1, 2):
        runs.begin(runs.RunRecord("J1", number, fence="f", created_at=NOW))
    assert sorted(int(run.run_no) for run in runs_of([("J1", 1), ("J1", 2), ("J2", 1)])) == [1, 2]


def test_records_left_out_of_an_answer_are_asked_for_again(world: World) -> None:
    ids = [saved(job_id=ulid(NOW)).job_id for _ in range(4)]
    with refusing(base.client(), "BatchGetItem", times=3) as refuser:
        assert sorted(job.job_id for job in jobs.get_many(ids)) == sorted(ids)
    assert refuser.calls == [4, 1, 1, 1]


def test_a_record_that_dynamodb_never_comes_to_is_no_missing_one(world: World) -> None:
    ids = [saved(job_id=ulid(NOW)).job_id for _ in range(2)]
    with refusing(base.client(), "BatchGetItem") as refuser, pytest.raises(Unavailable, match="1 records"):
        jobs.get_many(ids)
    assert len(refuser.calls) == 1 + base.EMPTY_ANSWERS
