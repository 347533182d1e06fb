"""What a run costs: the units it used, priced in US dollars by AWS's public list for us-east-1 of July 2025.

The prices are from "AWS Lambda Pricing" (x86, first tier), "Pricing for On-Demand Capacity" of Amazon DynamoDB
(Standard table class, after the cut of 2024-11-01) and "Amazon S3 pricing" (Standard, first 50 TB). The units are
exact. The money is an estimate: it knows no free tier, no discount and no other region.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import Any, Self

PRICE_LIST = "us-east-1, July 2025"

LAMBDA_GB_SECOND = Decimal("0.0000166667")
LAMBDA_REQUEST = Decimal("0.20") / 1_000_000
DYNAMODB_READ_UNIT = Decimal("0.125") / 1_000_000
DYNAMODB_WRITE_UNIT = Decimal("0.625") / 1_000_000
# PUT, COPY, POST and LIST.
S3_REQUEST = Decimal("0.005") / 1_000
S3_GB_MONTH = Decimal("0.023")
GB = 1 << 30
DAYS_OF_A_MONTH = Decimal("30.4")

# Costs are rounded to this many dollars; a read unit costs 1250 times as much.
PRECISION = Decimal("0.0000000001")


@dataclass(frozen=True)
class Units:
    """What a run used.

    `lambda_gb_seconds` is memory times billed time, in whole milliseconds; `s3_byte_days` is the bytes of the run's
    files times the days that they are kept.
    """

    lambda_requests: int = 0
    lambda_gb_seconds: float = 0.0
    dynamodb_read_units: float = 0.0
    dynamodb_write_units: float = 0.0
    s3_requests: int = 0
    s3_bytes: int = 0
    s3_byte_days: int = 0

    def __add__(self, other: Units) -> Units:
        mine, others = asdict(self), asdict(other)
        # Rounded, so that sums of binary fractions do not show ever more digits.
        return Units(**{name: type(value)(round(value + others[name], 6)) for name, value in mine.items()})

    @classmethod
    def read(cls, found: dict[str, Any]) -> Self:
        """From a stored cost; units that another version stored and this one does not know are left out."""
        return cls(**{each.name: found[each.name] for each in fields(cls) if each.name in found})


def price(units: Units) -> Decimal:
    """In US dollars, to ten decimal places."""
    byte_price = S3_GB_MONTH / GB / DAYS_OF_A_MONTH
    exact = (
        units.lambda_requests * LAMBDA_REQUEST
        + Decimal(str(units.lambda_gb_seconds)) * LAMBDA_GB_SECOND
        + Decimal(str(units.dynamodb_read_units)) * DYNAMODB_READ_UNIT
        + Decimal(str(units.dynamodb_write_units)) * DYNAMODB_WRITE_UNIT
        + units.s3_requests * S3_REQUEST
        + units.s3_byte_days * byte_price
    )
    return exact.quantize(PRECISION)


def cost_record(units: Units, *, runs: int) -> dict[str, Any]:
    """A cost as it is stored: the units, their price in US dollars as text, and the number of runs."""
    return {**vars(units), "usd": f"{price(units):f}", "runs": runs}


def add_run(before: Mapping[str, Any] | None, run: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A job's cost so far plus that of one more run. Either may be None: a run whose worker was lost has no cost."""
    if before is None or run is None:
        return dict(before or run or {}) or None
    units = Units.read(dict(before)) + Units.read(dict(run))
    return cost_record(units, runs=int(before["runs"]) + int(run["runs"]))
