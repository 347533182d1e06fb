"""What a run costs, counted while it executes: Lambda's time, the units that DynamoDB reports, S3's requests.

A Lambda works on one run at a time, so everything that its process asks of AWS meanwhile belongs to that run. The meter
counts from the message to the write of the run's end. It does not count

- what comes before and after: the making of the job by `tick` or the API, that last write and what follows, repairs;
- conditional writes that DynamoDB refused, since it does not report their units;
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
# These requests have one price; deletes are free, and a read costs a twelfth of it.
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
        """What the run has used until `now`, and the storage of its files, as `core/prices` writes it."""
        milliseconds = math.ceil(max(0.0, (now - self.begun).total_seconds()) * 1000)
        memory = os.environ.get(MEMORY_MB, "")
        megabytes = int(memory) if memory.isdigit() else 0
        with _LOCK:
            counted = self.units
        used = replace(
            counted,
            # Outside of Lambda there is no Lambda to pay.
            lambda_requests=1 if megabytes else 0,
            lambda_gb_seconds=round(milliseconds / 1000 * megabytes / 1024, 6),
            s3_bytes=stored_bytes,
            s3_byte_days=stored_bytes * retention.days_of(kind),
        )
        return cost_record(used, runs=1)


_METERS: list[Meter] = []


@contextmanager
def metered(begun: datetime) -> Iterator[Meter]:
    """Count what this process asks of AWS inside the block."""
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
    """Count a client's answers from now on, for the rest of the process."""
    client.meta.events.register("after-call", _count, unique_id="carillon-cost")


def _count(model: Any, parsed: Any, http_response: Any, **_: Any) -> None:
    """Count one answer of AWS. One that reports no units counts nothing: counting must not break a run."""
    used = _units_of(model.service_model.service_name, model.name, parsed, getattr(http_response, "status_code", 0))
    if used is not None:
        with _LOCK:
            for meter in _METERS:
                meter.units += used


def _units_of(service: str, operation: str, parsed: Any, status: int) -> Units | None:
    if service == "s3":
        return Units(s3_requests=1) if operation in PRICED and status < 400 else None
    reported = parsed.get("ConsumedCapacity") if isinstance(parsed, Mapping) else None
    capacities = reported if isinstance(reported, list) else [reported]
    amounts = [each.get("CapacityUnits") for each in capacities if isinstance(each, Mapping)]
    total = sum(float(each) for each in amounts if isinstance(each, int | float))
    if not total:
        return None
    return Units(dynamodb_read_units=total) if operation in READS else Units(dynamodb_write_units=total)
