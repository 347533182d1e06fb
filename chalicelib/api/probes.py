"""Probes: whether each AWS service that the stage depends on can be reached."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as ProbeTimedOut
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import clock
from chalicelib.aws.clients import client
from chalicelib.settings import settings
from chalicelib.store.base import client as dynamodb
from chalicelib.store.base import table_name

# Results are cached: callers need no token, and each of their requests would call every service.
CACHED_SECONDS = 5.0
TIMEOUT_SECONDS = 4.0


@dataclass(frozen=True)
class Check:
    service: str
    reachable: bool
    milliseconds: int


_cache: dict[str, tuple[float, list[Check]]] = {}


def checks() -> list[Check]:
    """One check per service, all made at the same time, at most CACHED_SECONDS ago."""
    cached = _cache.get("checks")
    if cached is not None and clock.monotonic() - cached[0] < CACHED_SECONDS:
        return cached[1]
    pool = ThreadPoolExecutor(max_workers=len(PROBES))
    started = clock.monotonic()
    running = {name: pool.submit(_timed, probe) for name, probe in PROBES.items()}
    found = []
    for name, future in running.items():
        try:
            reachable, milliseconds = future.result(timeout=max(0.0, started + TIMEOUT_SECONDS - clock.monotonic()))
        except ProbeTimedOut:
            reachable, milliseconds = False, round(TIMEOUT_SECONDS * 1000)
        found.append(Check(name, reachable, milliseconds))
    pool.shutdown(wait=False, cancel_futures=True)
    _cache["checks"] = (clock.monotonic(), found)
    return found


def forget() -> None:
    """Clear the cache."""
    _cache.clear()


def _timed(probe: Callable[[], Any]) -> tuple[bool, int]:
    started = clock.monotonic()
    try:
        probe()
    except (BotoCoreError, ClientError):
        reachable = False
    else:
        reachable = True
    return reachable, round((clock.monotonic() - started) * 1000)


def _probe_dynamodb() -> None:
    dynamodb().get_item(TableName=table_name("tokens"), Key={"token_id": {"S": "health"}})


def _probe_sqs() -> None:
    client("sqs").get_queue_attributes(QueueUrl=settings().queue_url, AttributeNames=["QueueArn"])


def _probe_s3() -> None:
    client("s3").head_bucket(Bucket=settings().bucket)


PROBES: dict[str, Callable[[], Any]] = {"dynamodb": _probe_dynamodb, "sqs": _probe_sqs, "s3": _probe_s3}
