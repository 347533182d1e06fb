"""What the life of one job takes, counted whole: from the tick that plans it to its end, every table and index."""

from __future__ import annotations

import pytest

from tests.support.export_life import exports_lived
from tests.support.simulator import Stage

JOBS = 8
# Of a gzip export: queue messages, and the shares that tick's own queries and batches of tokens have in each job.
MOST_CALLS = 14.0
MOST_UNITS = 34.0
# Of all units. A partition takes 1,000 units a second: so a table's writes come to 16,000 before one is full.
HOTTEST = 1 / 16


@pytest.mark.slow
def test_a_gzip_export_takes_so_many_calls_and_write_units_at_most(stage: Stage) -> None:
    lived = exports_lived(stage, JOBS)
    assert lived.calls_of("dynamodb", "sqs") / JOBS <= MOST_CALLS, lived.calls
    assert lived.writes / JOBS <= MOST_UNITS, lived.by_table


@pytest.mark.slow
def test_no_partition_of_an_index_takes_more_than_a_sixteenth_of_all_writes(stage: Stage) -> None:
    """Although all jobs are of one kind, group, source, pool and second."""
    lived = exports_lived(stage, 5 * JOBS)
    _, share = lived.hottest
    assert share <= HOTTEST, lived.by_partition.most_common(3)
