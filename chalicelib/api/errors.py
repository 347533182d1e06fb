"""Turns every error into an HTTP answer: the status by the error's class or its nearest base, and one shape of body."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic_core import ValidationError
from pynamodb.exceptions import PynamoDBException

from chalicelib import errors, log
from chalicelib.api.idempotency import Answer
from chalicelib.api.models.patterns import WORDS
from chalicelib.core.model_errors import field_problems, said

STATUS: dict[type[errors.CarillonError], int] = {
    errors.Malformed: 400,
    errors.BodyTooLarge: 413,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.StaleRevision: 412,
    errors.Invalid: 422,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
    # Only tick and sweep raise it, never a view.
    errors.FiringIncomplete: 500,
    # A preview or a test of a source: the caller chose the source or the query that failed.
    errors.RunError: 422,
}
# The field of a source's error when the use case named none.
FIELD: dict[type[errors.RunError], str] = {
    errors.AddressRefused: "settings.host",
    errors.SourceUnreachable: "settings",
    errors.SourceRefused: "password",
    errors.ConnectionDropped: "settings",
    errors.QueryFailed: "sql",
    errors.StatementTimedOut: "sql",
}
# Problems that one answer lists: a caller may send fields by the thousand, and each has a sentence.
MOST_PROBLEMS = 100
# Seconds after which the caller may try again.
RETRY_AFTER: dict[type[errors.CarillonError], str] = {
    errors.RequestInProgress: "1",
    errors.TooManyRequests: "1",
    errors.Unavailable: "1",
}
# What a 401 asks for, as RFC 6750 says. The gateway's own 401 says the same (infra/gateway.json).
CHALLENGE = 'Bearer realm="carillon"'
INTERNAL = "InternalError"
# So many problems stand in the message too.
TOLD = 3
# Errors of a run, or of a timer, which no request is answered with.
NEVER_ANSWERED = frozenset(
    {errors.FiringIncomplete, errors.PreconditionMissing, errors.EmptyResult, errors.FileNotWritten, errors.Stopped}
)

# Error codes of DynamoDB, SQS, S3 and Secrets Manager after which a later try may succeed.
TRANSIENT = frozenset(
    {
        "InternalError", "InternalFailure", "InternalServerError", "InternalServiceError", "LimitExceededException",
        "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestTimeout", "ServiceUnavailable",
        "ServiceUnavailableException", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException",
        "TransactionInProgressException",
    }
)  # fmt: skip


def status_of(error: type[errors.CarillonError]) -> int:
    """The HTTP status of an error's class; `LookupError` for a class without one."""
    for base in error.__mro__:
        if base in STATUS:
            return STATUS[base]
    raise LookupError(f"{error.__name__} has no status")


def codes() -> dict[str, int]:
    """Each `Code` that an answer may have, with its status."""
    found = {error.__name__: status_of(error) for error in _below(errors.CarillonError) if error not in NEVER_ANSWERED}
    return dict(sorted({**found, INTERNAL: 500}.items(), key=lambda item: (item[1], item[0])))


def _below(base: type[errors.CarillonError]) -> Iterator[type[errors.CarillonError]]:
    for error in base.__subclasses__():
        yield error
        yield from _below(error)


def answer(error: Exception) -> Answer:
    """The answer to any error. The details of an unexpected error go to the log, never to the caller."""
    if isinstance(error, ValidationError):
        error = from_validation_error(error)
    elif isinstance(error, ClientError | BotoCoreError | PynamoDBException):
        error = _service_error(error)
    if not isinstance(error, errors.CarillonError):
        log.error(
            "A request failed",
            error=type(error).__name__,
            detail=str(error)[:500],
            trace=[
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
            ],
        )
        return _error_answer(500, INTERNAL, "Something went wrong here; it was logged.")
    status = status_of(type(error))
    problems = [{"field": item.field, "message": item.message} for item in error.problems[:MOST_PROBLEMS]]
    if not problems and isinstance(error, errors.RunError):
        problems = [{"field": FIELD.get(type(error), "source"), "message": error.message}]
    shown = _error_answer(status, type(error).__name__, _reasons(error), problems)
    shown.headers.update(_headers(error))
    return shown


def _reasons(error: errors.CarillonError) -> str:
    """The error's message, with the reasons that stand in its problems alone."""
    unsaid = [item for item in error.problems if item.message.rstrip(".") not in error.message]
    if not unsaid:
        return error.message
    told = [f"{item.field}: {item.message}" for item in unsaid[:TOLD]]
    more = [f"And {len(unsaid) - TOLD} more."] if len(unsaid) > TOLD else []
    return " ".join([error.message, *told, *more])


def _headers(error: errors.CarillonError) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, seconds in RETRY_AFTER.items():
        if isinstance(error, kind):
            found["Retry-After"] = seconds
    if isinstance(error, errors.Unauthenticated):
        found["WWW-Authenticate"] = CHALLENGE
    if isinstance(error, errors.MethodNotAllowed):
        found["Allow"] = ", ".join(error.allowed)
    return found


def _error_answer(status: int, code: str, message: str, problems: list[dict[str, str]] | None = None) -> Answer:
    body = json.dumps({"Code": code, "Message": message, "Errors": problems or []}, ensure_ascii=False)
    return Answer(status, body, {"Content-Type": "application/json"})


def from_validation_error(error: ValidationError, *, depth: int | None = None) -> errors.CarillonError:
    """Invalid, or Malformed for text that is not JSON, from pydantic's error.

    Fields have dotted names of at most `depth` parts. Rejected values are left out: they may be secrets.
    """
    if any(item["type"] == "json_invalid" for item in error.errors(include_url=False, include_input=False)):
        return errors.Malformed("The body is not JSON.")
    problems = field_problems(error, depth=depth, whole="body", say=_message)
    if len(problems) == 1:
        return errors.Invalid(f"{problems[0].field}: {problems[0].message}", problems=problems)
    return errors.Invalid(f"{len(problems)} fields cannot be accepted.", problems=problems)


def _message(item: Mapping[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        return "There is no such field."
    if item["type"] == "missing":
        return "This field is required."
    if item["type"] == "string_pattern_mismatch":
        return WORDS.get(item["ctx"]["pattern"], said(item))
    text = said(item)
    return text if text.endswith(".") else f"{text}."


def _service_error(error: Exception) -> Exception:
    """Unavailable when a later try may succeed; otherwise the error itself, which answers 500."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, ClientError):
        code = str(cause.response.get("Error", {}).get("Code", ""))
        if code not in TRANSIENT:
            return error
    elif not isinstance(cause, BotoCoreError):
        return error
    log.error("A service did not answer", error=type(cause).__name__, detail=str(cause)[:500])
    return errors.Unavailable()
