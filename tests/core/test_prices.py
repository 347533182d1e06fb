from __future__ import annotations

from decimal import Decimal

import pytest

from chalicelib.core import prices
from chalicelib.core.prices import Units, price


# What a million of each costs, or a GB for a month: the figures of the price pages.
@pytest.mark.parametrize(
    ("units", "dollars"),
    [
        (Units(lambda_requests=1_000_000), "0.20"),
        (Units(lambda_gb_seconds=1_000_000), "16.6667"),
        (Units(dynamodb_read_units=1_000_000), "0.125"),
        (Units(dynamodb_write_units=1_000_000), "0.625"),
        (Units(s3_requests=1_000_000), "5"),
        (Units(s3_byte_days=(1 << 30) * 304 // 10), "0.023"),
        (Units(), "0"),
        (Units(dynamodb_read_units=0.5), "0.0000000625"),
    ],
)
def test_units_are_priced_by_the_price_list(units: Units, dollars: str) -> None:
    assert abs(price(units) - Decimal(dollars)) < Decimal("0.000000001")


def test_a_cost_that_another_version_wrote_can_be_summed() -> None:
    old = {"dynamodb_read_units": 0.1, "sqs_requests": 3, "usd": "1", "runs": 2}
    found = prices.add_run(old, prices.cost_record(Units(dynamodb_read_units=0.2), runs=1))
    assert found is not None
    assert (found["dynamodb_read_units"], found["runs"], "sqs_requests" in found) == (0.3, 3, False)
