"""Every call to S3, SQS and EventBridge that carries many entries.

Such a call may succeed and refuse some of them: those are sent again a few times, and what is refused still is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chalicelib import clock
from chalicelib.core.batch_answers import refusals
from chalicelib.errors import Unavailable

# A service refuses an entry while it is busy: it takes it a moment later.
TRIES = 4
LONGEST_PAUSE_SECONDS = 0.4
# Refused entries that an error names.
NAMED = 3


def delete_objects(s3: Any, bucket: str, keys: Sequence[str]) -> None:
    """Delete at most 1,000 objects. Raises Unavailable, which names objects that are still there."""

    def call(left: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = s3.delete_objects(Bucket=bucket, Delete={"Objects": list(left), "Quiet": True})
        return answer

    _insist("DeleteObjects", [{"Key": key} for key in keys], "Key", call)


def send_messages(sqs: Any, queue_url: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Send at most 10 messages, each with an `Id`. Raises Unavailable, which names those that were not sent."""
    _insist(
        "SendMessageBatch", entries, "Id", lambda left: sqs.send_message_batch(QueueUrl=queue_url, Entries=list(left))
    )


def put_targets(events: Any, rule: str, targets: Sequence[Mapping[str, Any]]) -> None:
    """Give a rule these targets. Raises Unavailable when EventBridge refuses one."""
    _insist("PutTargets", targets, "Id", lambda left: events.put_targets(Rule=rule, Targets=list(left)))


def remove_targets(events: Any, rule: str, ids: Sequence[str]) -> None:
    """Take these targets from a rule. Raises Unavailable when EventBridge refuses one."""
    _insist(
        "RemoveTargets",
        [{"Id": each} for each in ids],
        "Id",
        lambda left: events.remove_targets(Rule=rule, Ids=[str(each["Id"]) for each in left]),
    )


def _insist(
    operation: str,
    entries: Sequence[Mapping[str, Any]],
    name: str,
    call: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]],
) -> None:
    """Make the call, and again with the entries that were refused: TRIES times. `name` is the member that names one."""
    left = list(entries)
    for tried in range(1, TRIES + 1):
        refused = refusals(operation, call(left))
        if not refused:
            return
        if tried == TRIES or any(each.permanent for each in refused):
            break
        again = {each.entry for each in refused}
        left = [entry for entry in left if entry[name] in again] or left
        clock.pause(LONGEST_PAUSE_SECONDS)
    shown = "; ".join(map(str, refused[:NAMED]))
    more = f" and {len(refused) - NAMED} more" if len(refused) > NAMED else ""
    raise Unavailable(f"{operation} refused {len(refused)} of {len(entries)} entries: {shown}{more}.")
