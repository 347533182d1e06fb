"""What the life of one job takes, counted whole: from the tick that plans it to its end, every table and index."""

from __future__ import annotations

import pytest

from tests.support.export_life import exports_lived
from tests.support.simulator import Stage

JOBS = 8
# Of a gzip export: queue messages, and the shares that tick's own queries and batches of tokens have in each job.
MOST_CALLS = 14.0
MOST_UNITS = 44.0


@pytest.mark.slow
def test_a_gzip_export_takes_so_many_calls_and_write_units_at_most(stage: Stage) -> None:
    lived = exports_lived(stage, JOBS)
    assert lived.calls_of("dynamodb", "sqs") / JOBS <= MOST_CALLS, lived.calls
    assert lived.writes / JOBS <= MOST_UNITS, lived.by_table
