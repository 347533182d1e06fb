"""The work queue. A message is a token, "there is work in pool P", which names the job it was sent for; or it is the
next step of a batch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chalicelib.aws.batches import send_messages
from chalicelib.aws.clients import client
from chalicelib.core.instants import parse as parse_instant
from chalicelib.core.instants import sortable
from chalicelib.settings import settings

# SQS holds a message back for at most 15 minutes.
DELAY_LIMIT_SECONDS = 900
BATCH = 10


@dataclass(frozen=True)
class Token:
    """`task_id` and `due`, the job's time, spare its worker two reads; tokens of earlier versions lack them."""

    pool: str
    job_id: str
    task_id: str | None = None
    due: datetime | None = None


@dataclass(frozen=True)
class Step:
    batch_id: str


def send(tokens: Sequence[tuple[Token, datetime]], *, now: datetime) -> None:
    """Send tokens, each to arrive at its instant or, since SQS counts whole seconds, up to one second before.

    The worker waits for the rest of that second, so nothing starts early, and rounding makes nothing start late. Raises
    Unavailable when SQS refuses one again and again.
    """
    for at in range(0, len(tokens), BATCH):
        entries = []
        for number, (token, due) in enumerate(tokens[at : at + BATCH]):
            delay = max(0, math.floor((due - now).total_seconds()))
            if delay > DELAY_LIMIT_SECONDS:
                raise ValueError(f"a token cannot be held back for {delay} s")
            entries.append({"Id": str(number), "MessageBody": body(token), "DelaySeconds": delay})
        send_messages(client("sqs"), settings().queue_url, entries)


def send_step(batch_id: str) -> None:
    """Have a worker take the next step of a batch."""
    text = json.dumps({"batch": batch_id}, separators=(",", ":"))
    entry = {"Id": "0", "MessageBody": text, "DelaySeconds": 0}
    send_messages(client("sqs"), settings().queue_url, [entry])


def body(token: Token) -> str:
    found = {"pool": token.pool, "job": token.job_id}
    if token.task_id is not None and token.due is not None:
        found |= {"task": token.task_id, "due": sortable(token.due)}
    return json.dumps(found, separators=(",", ":"))


def parse(text: str) -> Token | Step:
    """Raises ValueError for a message that is neither."""
    try:
        found = json.loads(text)
        if "batch" in found:
            return Step(str(found["batch"]))
        due = found.get("due")
        return Token(
            str(found["pool"]), str(found["job"]), found.get("task"), None if due is None else parse_instant(due)
        )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"not a token: {text[:200]!r}") from error
