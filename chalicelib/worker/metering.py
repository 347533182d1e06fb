"""What a run costs, counted while it lives: Lambda's time, DynamoDB's units as it tells them itself, S3's requests.

A Lambda works on one run at a time, so whatever its process asks of AWS meanwhile is that run's. Counted is everything
from the message to the write of the run's end. Not counted are

- what comes before and after: the job's making by `tick` or the API, that last write and what follows from it, repairs;
- conditional writes that were refused, whose units DynamoDB does not tell;
- queue messages, secrets, reads from S3, data transfer, and the storage of records.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from chalicelib import retention
from chalicelib.core.prices import Units, cost_record
from chalicelib.store.base import client as dynamodb

MEMORY_MB = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})
# Priced alike; deleting is free, and reading costs a twelfth of it.
PRICED = frozenset(
    {"PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload",
     "ListObjectsV2", "ListMultipartUploads", "ListParts"}
)  # fmt: skip

_LOCK = threading.Lock()


@dataclass
class Meter:
    """Counts from `begun` on."""

    begun: datetime
    units: Units = field(default_factory=Units)

    def result(self, *, kind: str, now: datetime, stored_bytes: int = 0) -> dict[str, Any]:
        """What was used until `now`, and the days' storage of the files left behind, as it is written down."""
        milliseconds = math.ceil(max(0.0, (now - self.begun).total_seconds()) * 1000)
        told = os.environ.get(MEMORY_MB, "")
        megabytes = int(told) if told.isdigit() else 0
        with _LOCK:
            counted = self.units
        used = replace(
            counted,
            # Outside of Lambda there is none to pay.
            lambda_requests=1 if megabytes else 0,
            lambda_gb_seconds=round(milliseconds / 1000 * megabytes / 1024, 6),
            s3_bytes=stored_bytes,
            s3_byte_days=stored_bytes * retention.days_of(kind),
        )
        return cost_record(used, runs=1)


_METERS: list[Meter] = []


@contextmanager
def metered(begun: datetime) -> Iterator[Meter]:
    """Count what this process asks of AWS meanwhile."""
    watch(dynamodb())
    meter = Meter(begun)
    with _LOCK:
        _METERS.append(meter)
    try:
        yield meter
    finally:
        with _LOCK:
            _METERS.remove(meter)


def watch(client: Any) -> None:
    """Let a client's answers be counted; one that was made for this process is watched for good."""
    client.meta.events.register("after-call", _count, unique_id="carillon-cost")


def _count(model: Any, parsed: Any, http_response: Any, **_: Any) -> None:
    """Take in one answer of AWS. An answer that says nothing counts nothing: a counter may not break a run."""
    used = _units_of(model.service_model.service_name, model.name, parsed, getattr(http_response, "status_code", 0))
    if used is not None:
        with _LOCK:
            for meter in _METERS:
                meter.units += used


def _units_of(service: str, operation: str, parsed: Any, status: int) -> Units | None:
    if service == "s3":
        return Units(s3_requests=1) if operation in PRICED and status < 400 else None
    told = parsed.get("ConsumedCapacity") if isinstance(parsed, Mapping) else None
    capacity = told if isinstance(told, list) else [told]
    amounts = [each.get("CapacityUnits") for each in capacity if isinstance(each, Mapping)]
    total = sum(float(each) for each in amounts if isinstance(each, int | float))
    if not total:
        return None
    return Units(dynamodb_read_units=total) if operation in READS else Units(dynamodb_write_units=total)
