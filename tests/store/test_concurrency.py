"""Permits of a limit, and the register of what is limited: conditional writes that each emulator must judge alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chalicelib.errors import StaleRevision
from chalicelib.store import concurrency, pools
from chalicelib.store.base import count_up_to
from chalicelib.store.job_record import JobRecord
from chalicelib.store.pools import PoolRecord, PoolState
from tests.support.read_counts import reads
from tests.support.world import START, World

LIMIT = "task:t1"


def test_no_more_places_are_taken_than_there_are(backend: World) -> None:
    # moto judges conditions without a lock.
    with ThreadPoolExecutor(1 if backend.in_process else 8) as pool:
        taken = list(
            pool.map(lambda n: concurrency.acquire(LIMIT, concurrency.permit(f"job{n}", "f"), capacity=3), range(12))
        )
    assert taken.count(True) == 3 == len(concurrency.holders(LIMIT))


def test_a_place_is_taken_once_and_given_back_once(backend: World) -> None:
    mine, other = concurrency.permit("a", "f1"), concurrency.permit("b", "f2")
    assert concurrency.acquire(LIMIT, mine, capacity=1)
    assert concurrency.acquire(LIMIT, mine, capacity=1), "taking it again is no error"
    assert not concurrency.acquire(LIMIT, other, capacity=1)
    assert [concurrency.release(LIMIT, {mine}) for _ in range(2)] == [0, 0]
    assert concurrency.acquire(LIMIT, other, capacity=1)


def test_a_limit_is_compared_with_its_jobs_by_one_caller_at_a_time(backend: World) -> None:
    pause = timedelta(seconds=30)
    assert concurrency.begin_check(LIMIT, now=START, not_since=START - pause)
    later = START + timedelta(seconds=10)
    assert not concurrency.begin_check(LIMIT, now=later, not_since=later - pause)
    later = START + timedelta(seconds=31)
    assert concurrency.begin_check(LIMIT, now=later, not_since=later - pause)


def test_one_read_tells_of_the_pool_and_of_all_limits(backend: World) -> None:
    assert pools.state("cloud") == PoolState()
    pools.register(LIMIT)
    pools.register("source:s1")
    pools.put(PoolRecord("cloud", paused=True), expected_revision=0, now=START)
    assert pools.state("cloud") == PoolState(paused=True, limited=frozenset({LIMIT, "source:s1"}))
    pools.unregister("source:s1")
    assert pools.state("other") == PoolState(limited=frozenset({LIMIT}))
    assert [pool.pool_id for pool in pools.everything()] == ["cloud"]


def test_a_pool_is_stored_over_the_revision_that_was_read(backend: World) -> None:
    pools.put(PoolRecord("cloud"), expected_revision=0, now=START)
    with pytest.raises(StaleRevision):
        pools.put(PoolRecord("cloud"), expected_revision=0, now=START)
    pools.put(PoolRecord("cloud", note="x"), expected_revision=1, now=START)
    found = pools.find("cloud")
    assert found is not None
    assert (found.revision, found.note) == (2, "x")


def in_line(count: int) -> None:
    """Entries of a line as the index shows them, each a rank behind the one before."""
    for number in range(count):
        columns = [JobRecord.ready_pool.set("cloud"), JobRecord.rank.set(number), JobRecord.not_before.set(START)]
        JobRecord(f"j{number}").update(columns)


def test_counting_stops_at_its_limit(world: World) -> None:
    in_line(9)
    for limit, counted, looked_at in ((0, 0, 0), (4, 4, 4), (20, 9, 9)):
        with reads() as found:
            assert count_up_to(limit, JobRecord.ready, "cloud") == counted
        assert found.counted == looked_at
    assert count_up_to(20, JobRecord.ready, "cloud", JobRecord.rank < 5, matching=JobRecord.not_before <= START) == 5
