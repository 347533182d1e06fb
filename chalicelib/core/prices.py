"""What the units of a run cost: AWS's public list prices of us-east-1, in US dollars, as of July 2025.

From the pages "AWS Lambda Pricing" (x86, first tier), "Pricing for On-Demand Capacity" of Amazon DynamoDB (Standard
table class, after the cut of 2024-11-01) and "Amazon S3 pricing" (Standard, first 50 TB). Free tiers and discounts are
left out, and so is what differs in other regions: the units are exact, the money is an estimate.
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

# Ten billionths of a dollar: a read unit is 1.25 of them.
CENT_OF_A_CENT_OF_A_CENT = Decimal("0.0000000001")


@dataclass(frozen=True)
class Units:
    """What a run used. `lambda_gb_seconds` are of billed time, whole milliseconds; `s3_byte_days` are the bytes of its
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
        # Decimals that are not whole in binary would grow a tail with every sum.
        return Units(**{name: type(value)(round(value + others[name], 6)) for name, value in mine.items()})

    @classmethod
    def read(cls, found: dict[str, Any]) -> Self:
        """What was written down, by this version or by another that counts more or less."""
        return cls(**{each.name: found[each.name] for each in fields(cls) if each.name in found})


def price(units: Units) -> Decimal:
    """In US dollars, to ten digits behind the point."""
    byte_price = S3_GB_MONTH / GB / DAYS_OF_A_MONTH
    exact = (
        units.lambda_requests * LAMBDA_REQUEST
        + Decimal(str(units.lambda_gb_seconds)) * LAMBDA_GB_SECOND
        + Decimal(str(units.dynamodb_read_units)) * DYNAMODB_READ_UNIT
        + Decimal(str(units.dynamodb_write_units)) * DYNAMODB_WRITE_UNIT
        + units.s3_requests * S3_REQUEST
        + units.s3_byte_days * byte_price
    )
    return exact.quantize(CENT_OF_A_CENT_OF_A_CENT)


def written(units: Units, *, runs: int) -> dict[str, Any]:
    """How a cost is kept: the units, their money, and of how many runs."""
    return {**vars(units), "usd": f"{price(units):f}", "runs": runs}


def summed(before: Mapping[str, Any] | None, run: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A job's cost so far with that of one more run; of a run whose worker was lost nothing is known."""
    if before is None or run is None:
        return dict(before or run or {}) or None
    units = Units.read(dict(before)) + Units.read(dict(run))
    return written(units, runs=int(before["runs"]) + int(run["runs"]))
