"""Faults that a single call to AWS may have, for the calls of a stage in memory."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from tests.model.tables import Call

Given = dict[str, Any]


class Fault(StrEnum):
    THROTTLE = "throttle"
    ERROR_500 = "500"
    # The call had its effect, and no answer came.
    TIME_OUT = "time-out after the effect"
    # The same, and the client tried again by itself: the answer is that of the second call.
    REPEATED = "repeated after the effect"
    # Of many entries the last was not taken; the answer is a success.
    PARTIAL = "partial batch answer"
    # The message, the timer or the request comes a second time, in the middle of the first.
    DUPLICATE = "duplicate delivery"


REFUSALS = {
    "dynamodb": ("ProvisionedThroughputExceededException", "InternalServerError"),
    "sqs": ("RequestThrottled", "InternalError"),
    "s3": ("SlowDown", "InternalError"),
    "events": ("ThrottlingException", "InternalException"),
}
BATCHES = ("dynamodb.BatchGetItem", "dynamodb.BatchWriteItem", "sqs.SendMessageBatch", "s3.DeleteObjects")


@dataclass
class Faults:
    """Stands around the calls: the one with the number `at` has the fault. Counts them, too."""

    fault: Fault | None = None
    at: int = 0
    # What a second delivery does.
    duplicate: Callable[[], Any] = lambda: None
    calls: list[str] = field(default_factory=list)
    on: bool = True

    def __call__(self, name: str, given: Given, call: Call) -> Given:
        if not self.on:
            return call(given)
        self.calls.append(name)
        return call(given) if len(self.calls) != self.at else self._fail(name, given, call)

    def _fail(self, name: str, given: Given, call: Call) -> Given:
        throttled, failed = REFUSALS[name.partition(".")[0]]
        if self.fault is Fault.THROTTLE:
            raise _refusal(name, throttled)
        if self.fault is Fault.ERROR_500:
            raise _refusal(name, failed)
        if self.fault is Fault.PARTIAL:
            return _partial(name, deepcopy(given), call)
        if self.fault is Fault.DUPLICATE:
            self.on = False
            try:
                self.duplicate()
            finally:
                self.on = True
            return call(given)
        call(given)
        if self.fault is Fault.REPEATED:
            try:
                return call(given)
            except ClientError as refused:
                # As botocore says that it was not the first call.
                refused.response.setdefault("ResponseMetadata", {})["RetryAttempts"] = 1
                raise
        raise ReadTimeoutError(endpoint_url="https://aws")


def applies(fault: Fault, name: str) -> bool:
    return fault is not Fault.PARTIAL or name in BATCHES


def _refusal(name: str, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "try again"}}, name.partition(".")[2])


def _partial(name: str, given: Given, call: Call) -> Given:
    """Make the call without its last entry, and name that in the answer as the service does."""
    why = {"Code": "InternalError", "Message": "try again"}
    if name == "sqs.SendMessageBatch":
        left = given["Entries"].pop()
        return call(given) | {"Failed": [{"Id": left["Id"], "SenderFault": False, **why}]}
    if name == "s3.DeleteObjects":
        left = given["Delete"]["Objects"].pop()
        return call(given) | {"Errors": [{"Key": left["Key"], **why}]}
    [(table, asked)] = given["RequestItems"].items()
    if name == "dynamodb.BatchWriteItem":
        left = asked.pop()
        answer = call(given) if asked else {}
        return answer | {"UnprocessedItems": {table: [left]}}
    left = asked["Keys"].pop()
    answer = call(given) if asked["Keys"] else {"Responses": {}}
    return answer | {"UnprocessedKeys": {table: {**asked, "Keys": [left]}}}
