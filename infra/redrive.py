"""`make redrive STAGE=prod`: send the messages of the dead-letter queue to `work` again.

A message is a token: it says that there is work, and names the job that it was sent for. Sent twice it does no harm,
and the job may long have ended. So each message is sent first and deleted then.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.core.batch_answers import refusals
from infra import stack, template

BATCH = 10
# Of one call of the command: what fails again at once comes back within minutes, and must not be sent in a circle.
MOST_MESSAGES = 10_000
# Longer than one batch takes; what could not be sent is visible again after this.
HIDDEN_SECONDS = 60


def redrive(sqs: Any, dead_url: str, work_url: str) -> int:
    """Move the messages that are in the dead-letter queue; answers how many. DeployProblem when SQS refuses one."""
    moved = 0
    while moved < MOST_MESSAGES:
        found = sqs.receive_message(
            QueueUrl=dead_url, MaxNumberOfMessages=BATCH, VisibilityTimeout=HIDDEN_SECONDS, WaitTimeSeconds=1
        ).get("Messages", [])
        if not found:
            break
        entries = [{"Id": str(number), "MessageBody": message["Body"]} for number, message in enumerate(found)]
        sent = sqs.send_message_batch(QueueUrl=work_url, Entries=entries)
        refused = refusals("SendMessageBatch", sent)
        stay = {each.entry for each in refused}
        done = [message for number, message in enumerate(found) if str(number) not in stay]
        left = done and refusals(
            "DeleteMessageBatch",
            sqs.delete_message_batch(
                QueueUrl=dead_url,
                Entries=[{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(done)],
            ),
        )
        moved += len(done)
        if refused:
            raise stack.DeployProblem(f"SQS refused {len(refused)} messages, which stay; {moved} were sent")
        if left:
            raise stack.DeployProblem(f"{len(left)} messages were sent, but stay in the dead-letter queue too")
    return moved


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make redrive", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--stage", required=True)
    name = f"{template.STACK}-{parser.parse_args().stage}"
    session = boto3.Session()
    try:
        found = stack.describe(session.client("cloudformation"), name)
        if found is None:
            raise stack.DeployProblem(f"there is no stack {name} in this account and region")
        named = stack.outputs(found)
        moved = redrive(session.client("sqs"), named["DeadLetterQueueUrl"], named["QueueUrl"])
    except (stack.DeployProblem, BotoCoreError, ClientError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{moved} messages sent to work again.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
