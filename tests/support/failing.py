"""Have chosen calls to AWS fail, before their effect or after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from chalicelib.aws.clients import client
from chalicelib.store.base import client as dynamodb


def throttled() -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "AnyOperation")


def timed_out() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url="https://aws")


@dataclass
class Failing:
    """The calls of one operation whose request contains a text fail, the first `times` of them."""

    operation: str
    containing: str
    error: Exception
    times: float
    after: bool
    failed: int = 0
    # How many calls of the operation there were, failed ones included.
    calls: int = 0

    def before(self, model: Any, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if model.name != self.operation:
            return
        self.calls += 1
        body = params["body"]
        text = (body if isinstance(body, bytes) else str(body).encode()).decode()
        context["is to fail"] = self.containing in text and self.failed < self.times
        if context["is to fail"] and not self.after:
            self._fail()

    def behind(self, model: Any, context: dict[str, Any], **_: Any) -> None:
        if context.get("is to fail") and self.after:
            self._fail()

    def _fail(self) -> None:
        self.failed += 1
        raise self.error


@contextmanager
def failing(
    service: str,
    operation: str,
    *,
    containing: str = "",
    error: Exception | None = None,
    times: float = float("inf"),
    after: bool = False,
) -> Iterator[Failing]:
    """Inside the block these calls of the product fail: throttled, unless another error is given.

    `after`: the call has its effect, and fails nevertheless.
    """
    made = Failing(operation, containing, error or throttled(), times, after)
    events = (dynamodb() if service == "dynamodb" else client(service)).meta.events
    events.register("before-call", made.before, unique_id=f"failing-before-{id(made)}")
    events.register("after-call", made.behind, unique_id=f"failing-after-{id(made)}")
    try:
        yield made
    finally:
        events.unregister("before-call", unique_id=f"failing-before-{id(made)}")
        events.unregister("after-call", unique_id=f"failing-after-{id(made)}")
