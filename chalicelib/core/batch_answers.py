"""Which entries of a batch call a service refused.

A batch call answers 200 although entries of it failed: only a member of the answer says so. Every batch call is made in
`aws/batches.py`, `store/base.py`, `store/together.py` or `infra/redrive.py`, and its answer is read here; a test finds
any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Each batch call, and the member of its answer that lists what was refused. DynamoDB says which keys or items it did
# not come to, by table; the others give an entry for each failure.
REFUSED_IN = {
    "DeleteObjects": "Errors",
    "SendMessageBatch": "Failed",
    "DeleteMessageBatch": "Failed",
    "ChangeMessageVisibilityBatch": "Failed",
    "PutTargets": "FailedEntries",
    "RemoveTargets": "FailedEntries",
    "BatchGetItem": "UnprocessedKeys",
    "BatchWriteItem": "UnprocessedItems",
}


@dataclass(frozen=True)
class Refusal:
    """One entry that a service refused: what names it in the call (an S3 key, an id), and the service's reason."""

    entry: str
    code: str
    message: str = ""
    # The entry itself is at fault: sending it again fails again.
    permanent: bool = False

    def __str__(self) -> str:
        return f"{self.entry}: {self.code} {self.message}".rstrip()


def refusals(operation: str, answer: Mapping[str, Any]) -> list[Refusal]:
    """The refused entries of a call to S3, SQS or EventBridge; `KeyError` for a call that is not a batch."""
    return [_refusal(each) for each in answer.get(REFUSED_IN[operation]) or ()]


def unprocessed(operation: str, answer: Mapping[str, Any], table: str) -> list[Any]:
    """What DynamoDB did not come to: the keys of a read, or the requests of a write."""
    left = (answer.get(REFUSED_IN[operation]) or {}).get(table) or []
    return list(left["Keys"]) if isinstance(left, Mapping) else list(left)


def _refusal(found: Mapping[str, Any]) -> Refusal:
    entry = next((str(found[name]) for name in ("Key", "Id", "TargetId") if name in found), "?")
    code, message = found.get("Code") or found.get("ErrorCode"), found.get("Message") or found.get("ErrorMessage")
    return Refusal(entry, str(code or "?"), str(message or ""), permanent=bool(found.get("SenderFault")))
