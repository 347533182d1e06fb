from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from pynamodb.exceptions import PutError

from chalicelib import clock, retrying
from chalicelib.errors import Unavailable

THROTTLED = ClientError({"Error": {"Code": "ThrottlingException"}}, "PutItem")
TOO_LARGE = ClientError({"Error": {"Code": "ValidationException"}}, "PutItem")
UNANSWERED = ReadTimeoutError(endpoint_url="https://aws")


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr(retrying, "clock", SimpleNamespace(pause=made.append))
    return made


def failing_with(error: Exception, times: int) -> tuple[Callable[[], str], list[int]]:
    tries: list[int] = []

    def act() -> str:
        tries.append(1)
        if len(tries) <= times:
            raise error
        return "done"

    return act, tries


@pytest.mark.parametrize("error", [THROTTLED, UNANSWERED, PutError("refused", THROTTLED), Unavailable()])
def test_a_service_error_is_tried_again(error: Exception, pauses: list[float]) -> None:
    act, tries = failing_with(error, 2)
    assert retrying.retried(act) == "done"
    assert len(tries) == 3
    assert pauses == [retrying.FIRST_PAUSE_SECONDS, 2 * retrying.FIRST_PAUSE_SECONDS]


@pytest.mark.parametrize(
    ("error", "tries_made"),
    [
        (THROTTLED, retrying.TRIES),
        (TOO_LARGE, 1),  # the same record would be refused again
        (PutError("refused", TOO_LARGE), 1),
        (KeyError("a bug"), 1),  # no service's failure
    ],
)
def test_the_tries_are_bounded(error: Exception, tries_made: int) -> None:
    act, tries = failing_with(error, 100)
    with pytest.raises(type(error)):
        retrying.retried(act)
    assert len(tries) == tries_made


def test_no_pause_outlasts_the_time_left(pauses: list[float]) -> None:
    act, tries = failing_with(THROTTLED, 100)
    with pytest.raises(ClientError):
        retrying.retried(act, time_left=lambda: 0.0)
    assert (len(tries), pauses) == (1, [])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (THROTTLED, "ThrottlingException"),
        (PutError("refused", THROTTLED), "ThrottlingException"),
        (UNANSWERED, None),
        # pynamodb's own property raises AttributeError here.
        (PutError("no answer", UNANSWERED), None),
        (KeyError("a bug"), None),
    ],
)
def test_the_code_of_an_error_is_the_services(error: Exception, code: str | None) -> None:
    assert retrying.code_of(error) == code


def test_each_caller_pauses_for_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers that were throttled together do not come back together."""
    slept: list[float] = []
    monkeypatch.setattr(clock, "time", SimpleNamespace(sleep=slept.append))
    for _ in range(50):
        clock.pause(0.4)
    assert len(set(slept)) > 40
    assert 0 <= min(slept) < 0.1 < 0.3 < max(slept) <= 0.4
