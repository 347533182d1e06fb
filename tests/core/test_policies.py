"""Overlap, retry, rank and jitter: the small decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import overlap, retry
from chalicelib.core.overlap import BUFFER_CAP, OverlapDecision, OverlapPolicy
from chalicelib.core.rank import POINT, PRIORITY_MAX, PRIORITY_MIN, accept_priority, rank
from chalicelib.core.retry import Backoff, Retry
from chalicelib.core.schedules.jitter import jitter
from chalicelib.errors import Invalid

NOW = datetime(2026, 5, 1, 10, 30, tzinfo=UTC)
NAIVE = datetime(2026, 5, 1)  # noqa: DTZ001 - what is refused


@pytest.mark.parametrize("policy", list(OverlapPolicy))
def test_every_policy_admits_a_job_without_earlier_ones(policy: OverlapPolicy):
    assert overlap.decide(policy, earlier_active=0, earlier_buffered=0) is OverlapDecision.ADMIT


@pytest.mark.parametrize(
    ("policy", "active", "buffered", "gate"),
    [
        ("skip", 1, 0, OverlapDecision.SKIP),
        ("buffer_one", 1, 0, OverlapDecision.BUFFER),
        ("buffer_one", 1, 1, OverlapDecision.SKIP),
        ("buffer_one", 0, 1, OverlapDecision.SKIP),  # the buffered one goes first
        ("buffer_all", 1, 0, OverlapDecision.BUFFER),
        ("buffer_all", 0, 1, OverlapDecision.BUFFER),
        ("buffer_all", 1, BUFFER_CAP - 1, OverlapDecision.BUFFER),
        ("buffer_all", 1, BUFFER_CAP, OverlapDecision.SKIP),
        ("cancel_other", 1, 0, OverlapDecision.CANCEL_OTHERS),
        ("cancel_other", 3, 2, OverlapDecision.CANCEL_OTHERS),
        ("allow_all", 50, 0, OverlapDecision.ADMIT),
    ],
)
def test_the_overlap_decision_while_earlier_jobs_are_open(
    policy: str, active: int, buffered: int, gate: OverlapDecision
):
    assert overlap.decide(OverlapPolicy(policy), earlier_active=active, earlier_buffered=buffered) is gate


def test_an_overlap_policy_from_the_api():
    assert OverlapPolicy.accept(None) is OverlapPolicy.SKIP
    assert OverlapPolicy.accept("buffer_one") is OverlapPolicy.BUFFER_ONE
    for value in ("queue", 1, ["skip"]):
        with pytest.raises(Invalid) as refusal:
            OverlapPolicy.accept(value)
        assert refusal.value.field == "overlap"


@pytest.mark.parametrize(
    ("given_retry", "spent", "seconds"),
    [
        (Retry(), 1, None),  # one attempt only, by default
        (Retry(max_attempts=3), 1, 60),
        (Retry(max_attempts=3), 2, 60),
        (Retry(max_attempts=3), 3, None),
        (Retry(max_attempts=9, backoff=Backoff.EXPONENTIAL), 1, 60),
        (Retry(max_attempts=9, backoff=Backoff.EXPONENTIAL), 2, 120),
        (Retry(max_attempts=9, backoff=Backoff.EXPONENTIAL), 6, 1920),
        (Retry(max_attempts=9, backoff=Backoff.EXPONENTIAL), 7, 3600),  # capped
        (Retry(max_attempts=32, backoff=Backoff.EXPONENTIAL), 31, 3600),
        (Retry(max_attempts=2, delay_seconds=0), 1, 0),
    ],
)
def test_the_delay_before_the_next_attempt(given_retry: Retry, spent: int, seconds: int | None):
    expected = None if seconds is None else timedelta(seconds=seconds)

    assert retry.decide(given_retry, attempts_spent=spent, permanent=False) == expected


def test_a_permanent_error_is_not_retried():
    assert retry.decide(Retry(max_attempts=5), attempts_spent=1, permanent=True) is None


def test_there_is_no_delay_before_the_first_attempt():
    with pytest.raises(ValueError, match="first attempt"):
        retry.delay_after(Retry(), 0)


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (None, Retry()),
        ({}, Retry()),
        ({"max_attempts": 3, "delay_seconds": 60, "backoff": "exponential"}, Retry(3, 60, Backoff.EXPONENTIAL)),
        ({"delay_seconds": 7200}, Retry(1, 7200, Backoff.FIXED, 7200)),
        ({"max_attempts": 32, "max_delay_seconds": None}, Retry(32)),
    ],
)
def test_what_is_accepted_as_retry(value: Any, accepted: Retry):
    assert Retry.accept(value) == accepted
    assert Retry.accept(accepted.as_json()) == accepted


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], "retry"),
        (3, "retry"),
        ({"max_attempts": 0}, "retry.max_attempts"),
        ({"max_attempts": 33}, "retry.max_attempts"),
        ({"max_attempts": "3"}, "retry.max_attempts"),
        ({"max_attempts": True}, "retry.max_attempts"),
        ({"delay_seconds": -1}, "retry.delay_seconds"),
        ({"delay_seconds": 86_401}, "retry.delay_seconds"),
        ({"backoff": "linear"}, "retry.backoff"),
        ({"backoff": None, "max_delay_seconds": 30}, "retry.max_delay_seconds"),
        ({"attempts": 3}, "retry.attempts"),
    ],
)
def test_what_is_refused_as_retry(value: Any, field: str):
    with pytest.raises(Invalid) as refusal:
        Retry.accept(value)

    assert refusal.value.field == field


def test_of_two_priorities_the_higher_goes_first_within_its_lead():
    assert rank(NOW, 10) < rank(NOW, 9)
    assert rank(NOW + 3 * POINT - timedelta(milliseconds=1), 13) < rank(NOW, 10)
    assert rank(NOW + 3 * POINT + timedelta(milliseconds=1), 13) > rank(NOW, 10)


def test_of_one_priority_the_older_goes_first():
    assert rank(NOW, 5) < rank(NOW + timedelta(milliseconds=1), 5)


def test_a_rank_is_milliseconds_in_any_zone():
    assert rank(NOW, 0) == int(NOW.timestamp()) * 1000
    assert rank(NOW.astimezone(timezone(timedelta(hours=8))), 7) == rank(NOW, 7)


@given(
    st.integers(PRIORITY_MIN, PRIORITY_MAX),
    st.integers(PRIORITY_MIN, PRIORITY_MAX),
    st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_a_job_is_overtaken_no_longer_than_the_difference_of_priorities(low: int, high: int, after: timedelta):
    overtaken = rank(NOW + after, high) < rank(NOW, low)

    assert not overtaken or after < (high - low) * POINT


@pytest.mark.parametrize("value", [-1, 5001, 1.0, "5", True, None])
def test_a_priority_has_bounds(value: Any):
    with pytest.raises(Invalid) as refusal:
        accept_priority(value)
    assert refusal.value.field == "priority"


def test_naive_datetimes_have_no_rank_and_no_jitter():
    for call in (
        lambda: rank(NAIVE, 0),
        lambda: jitter("t", NAIVE, None, 5),
        lambda: jitter("t", NOW, NAIVE, 5),
    ):
        with pytest.raises(Invalid):
            call()


instants = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.text(min_size=1), instants, st.integers(1, 100_000), st.integers(0, 86_400))
def test_jitter_is_stable_and_bounded(task_id: str, fire: datetime, gap: int, most: int):
    delay = jitter(task_id, fire, fire + timedelta(seconds=gap), most)

    assert delay == jitter(task_id, fire.astimezone(timezone(timedelta(hours=9))), fire + timedelta(seconds=gap), most)
    assert 0 <= delay <= max(0, min(most, gap) - 1)


def test_jitter_spreads_over_the_whole_span():
    delays = [jitter("task", NOW + timedelta(hours=k), None, 60) for k in range(2000)]

    assert set(delays) == set(range(60))


def test_jitter_differs_between_tasks():
    assert len({jitter(f"task-{k}", NOW, None, 3600) for k in range(100)}) > 90
