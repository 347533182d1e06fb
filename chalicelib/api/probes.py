"""Whether each service this stage stands on can be reached."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import clock
from chalicelib.aws.clients import client
from chalicelib.settings import settings
from chalicelib.store.base import client as dynamodb
from chalicelib.store.base import table_name

# Anybody may ask, so asking often must not cost a call to each service every time.
KEPT_SECONDS = 5.0
PATIENCE_SECONDS = 4.0


@dataclass(frozen=True)
class Check:
    service: str
    reachable: bool
    milliseconds: int


_kept: dict[str, tuple[float, list[Check]]] = {}


def checks() -> list[Check]:
    """One check per service, made at the same time, at most a few seconds old."""
    kept = _kept.get("checks")
    if kept is not None and clock.monotonic() - kept[0] < KEPT_SECONDS:
        return kept[1]
    pool = ThreadPoolExecutor(max_workers=len(PROBES))
    started = clock.monotonic()
    running = {name: pool.submit(_timed, probe) for name, probe in PROBES.items()}
    found = []
    for name, future in running.items():
        try:
            reachable, milliseconds = future.result(timeout=max(0.0, started + PATIENCE_SECONDS - clock.monotonic()))
        except TookTooLong:
            reachable, milliseconds = False, round(PATIENCE_SECONDS * 1000)
        found.append(Check(name, reachable, milliseconds))
    pool.shutdown(wait=False, cancel_futures=True)
    _kept["checks"] = (clock.monotonic(), found)
    return found


def forget() -> None:
    """Ask again the next time."""
    _kept.clear()


def _timed(probe: Callable[[], Any]) -> tuple[bool, int]:
    started = clock.monotonic()
    try:
        probe()
    except (BotoCoreError, ClientError):
        reachable = False
    else:
        reachable = True
    return reachable, round((clock.monotonic() - started) * 1000)


def _ask_dynamodb() -> None:
    dynamodb().get_item(TableName=table_name("tokens"), Key={"token_id": {"S": "health"}})


def _ask_sqs() -> None:
    client("sqs").get_queue_attributes(QueueUrl=settings().queue_url, AttributeNames=["QueueArn"])


def _ask_s3() -> None:
    client("s3").head_bucket(Bucket=settings().bucket)


PROBES: dict[str, Callable[[], Any]] = {"dynamodb": _ask_dynamodb, "sqs": _ask_sqs, "s3": _ask_s3}
