"""`make replay STAGE=prod`: hand the events that `fire` gave up on over to it again.

Lambda tries an event three times and then keeps it for 14 days in the queue FireFailuresUrl. An event is started once,
however often it is handed over: this command gives each the id that its first delivery had. An event that `fire`
refuses again stays in the queue, and the command says why.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra import stack

# Longer than `fire` may take; what it refuses is visible again as soon as the command ends.
HIDDEN_SECONDS = 120
# Of one call of the command.
MOST_EVENTS = 10_000


@dataclass
class Replayed:
    """What became of the events: the answers of `fire`, and the reasons of those that stay in the queue."""

    done: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def event_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a failure record (https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html).

    Without an id or a time of its own, it gets those of the failed invocation: the id by which `fire` knows a second
    delivery, and a time minutes after the event, where the time of the replay may be days after it.
    """
    event = dict(record["requestPayload"])
    detail = event.get("detail")
    nested = isinstance(detail, dict) and "task" in detail
    asked = dict(detail) if isinstance(detail, dict) and nested else event
    invocation_id = record.get("requestContext", {}).get("requestId")
    if invocation_id and not asked.get("event_id") and not event.get("id"):
        asked["event_id"] = invocation_id
    if record.get("timestamp") and not asked.get("scheduled_for") and not event.get("time"):
        asked["scheduled_for"] = record["timestamp"]
    return {**event, "detail": asked} if nested else asked


def replay(sqs: Any, queue_url: str, fire: Callable[[dict[str, Any]], dict[str, Any]]) -> Replayed:
    """Hand each event of the queue to `fire` once. A message leaves the queue when `fire` has handled its event.

    `fire` gives the function's answer, and raises ValueError with the function's error.
    """
    result, kept = Replayed(), []
    for message in _messages(sqs, queue_url):
        try:
            result.done.append(fire(event_of(json.loads(message["Body"]))))
        except (ValueError, KeyError, TypeError) as error:
            result.refused.append(f"{message['MessageId']}: {error}")
            kept.append(message["ReceiptHandle"])
        else:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    for handle in kept:
        sqs.change_message_visibility(QueueUrl=queue_url, ReceiptHandle=handle, VisibilityTimeout=0)
    return result


def _messages(sqs: Any, queue_url: str) -> Iterator[dict[str, Any]]:
    """Every message of the queue, each once: those given stay hidden meanwhile."""
    for _ in range(MOST_EVENTS):
        found = sqs.receive_message(QueueUrl=queue_url, VisibilityTimeout=HIDDEN_SECONDS, WaitTimeSeconds=1)
        if not found.get("Messages"):
            return
        yield from found["Messages"]


def invoke(functions: Any, arn: str, event: dict[str, Any]) -> dict[str, Any]:
    """Call `fire` and wait for its answer. Raises ValueError with the function's error."""
    answer = functions.invoke(FunctionName=arn, Payload=json.dumps(event).encode())
    content = json.loads(answer["Payload"].read() or b"{}")
    if answer.get("FunctionError"):
        raise ValueError(content.get("errorMessage") or "fire failed; its log says why")
    found: dict[str, Any] = content
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make replay", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--stage", required=True)
    given = parser.parse_args()
    session = boto3.Session()
    try:
        found = stack.describe(session.client("cloudformation"), f"carillon-{given.stage}")
        if found is None:
            raise stack.DeployProblem(f"there is no stack carillon-{given.stage} in this account and region")
        named = stack.outputs(found)
        functions = session.client("lambda")
        result = replay(
            session.client("sqs"),
            named["FireFailuresUrl"],
            lambda event: invoke(functions, named["FireArn"], event),
        )
    except (stack.DeployProblem, BotoCoreError, ClientError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for answer in result.done:
        print(f"  handled: {'job ' + answer['job_id'] if 'job_id' in answer else 'no job to start'}")
    for reason in result.refused:
        print(f"  stays in the queue: {reason}", file=sys.stderr)
    print(f"{len(result.done)} events handled, {len(result.refused)} stay in the queue.")
    return 1 if result.refused else 0


if __name__ == "__main__":
    sys.exit(main())
