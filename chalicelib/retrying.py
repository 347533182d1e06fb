"""Calls to AWS that fail: which errors they raise, and how to try again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from chalicelib import clock
from chalicelib.errors import CarillonError, Unavailable

T = TypeVar("T")

# What a service's failure raises: as botocore says it, as pynamodb wraps it, and as `aws/` translates it.
SERVICE_ERRORS = (ClientError, BotoCoreError, PynamoDBException, Unavailable)
# What handling one record of many may raise. Each loop over records catches these, so that the others have their turn.
RECORD_ERRORS = (*SERVICE_ERRORS, CarillonError, ValueError, TypeError, LookupError, ArithmeticError)
# Refusals that another try would meet again.
LASTING = frozenset(
    {"ValidationException", "AccessDeniedException", "AccessDenied", "ResourceNotFoundException", "NoSuchBucket"}
)
TRIES = 3
# The longest pause before the second try; twice that before the third. The clients have tried several times by then.
FIRST_PAUSE_SECONDS = 0.4


def retried(act: Callable[[], T], *, tries: int = TRIES, time_left: Callable[[], float] = lambda: float("inf")) -> T:
    """The answer of `act`, which is tried again after a random pause while a service fails it. Raises its last error.

    `act` must be safe to repeat: a call that failed may have had its effect. No pause is longer than `time_left()`, the
    caller's seconds.
    """
    longest = FIRST_PAUSE_SECONDS
    for number in range(1, tries + 1):
        try:
            return act()
        except SERVICE_ERRORS as error:
            if number == tries or longest >= time_left() or is_lasting(error):
                raise
        clock.pause(longest)
        longest *= 2
    raise AssertionError("the last try answers or raises")


def is_lasting(error: Exception) -> bool:
    """Whether another try would meet the same error."""
    return code_of(error) in LASTING


def code_of(error: Exception) -> str | None:
    """The code that the service gave its refusal; None where it gave no answer.

    pynamodb's own property fails for an error without an answer.
    """
    code = _answer(error).get("Error", {}).get("Code")
    return None if code is None else str(code)


def was_tried_again(error: BaseException | None) -> bool:
    """Whether the client made the call again: the first one, whose answer was lost, may have had its effect."""
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, Mapping) and answer.get("ResponseMetadata", {}).get("RetryAttempts", 0):
            return True
        # pynamodb tells the code and the message, and keeps botocore's own error as the cause of the cause.
        error = getattr(error, "cause", None) or error.__cause__
    return False


def _answer(error: Exception) -> Mapping[str, Any]:
    cause = error.cause if isinstance(error, PynamoDBException) else error
    answer = getattr(cause, "response", None)
    return answer if isinstance(answer, Mapping) else {}
