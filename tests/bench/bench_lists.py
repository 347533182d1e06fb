"""Lists of jobs: what the first page of each filter reads, in a table of hundreds of thousands of jobs.

The emulator keeps no index in order and sorts a partition for every query: its milliseconds grow with the table, as
DynamoDB's do not. What is read, and what it costs, is what DynamoDB would read: units are counted as AWS bills them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import pytest
from botocore.httpsession import URLLib3Session

from infra.local import emulator
from tests.support.ministack import ministack_world
from tests.support.random_jobs import NOW, PlainJob, item_of, random_jobs, write
from tests.support.units import size_of
from tests.support.world import World

JOBS = 200_000
PAGE_SIZE = 20
# Seconds.
PATIENCE = 600
# A read unit is 4 KB; an index is read for half of it.
UNIT = 4_096
# What a row has besides what lists look at: the spec, the clocks, the manifest of a file.
BESIDES = {"spec": {"S": json.dumps("x" * 800)}, "files": {"S": json.dumps("x" * 700)}, "summary": {"S": "x" * 300}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    given = parser.parse_args()
    with emulated():
        from chalicelib.store.base import client
        from tests.store.test_job_lists_cost import FILTERS

        # Sorting the largest partitions takes the emulator longer than the product ever waits for DynamoDB.
        client()._endpoint.http_session = URLLib3Session(timeout=PATIENCE)
        sys.stdout.reconfigure(line_buffering=True)
        jobs = random_jobs(given.jobs, renamed=False)
        started = time.perf_counter()
        write(jobs, threads=2, besides=BESIDES)
        print(f"{given.jobs:,} jobs put in {time.perf_counter() - started:.0f} s; first page of {PAGE_SIZE}")
        print(f"{'filter':44} {'total':>7} {'entries':>7} {'rows':>5} {'units':>6} {'names':>6}", end=" ")
        print(f"{'counted':>8} {'units':>6} {'ms':>6}")
        for filters in FILTERS:
            report(jobs, filters)


def report(jobs: list[PlainJob], filters: dict[str, Any]) -> None:
    from chalicelib.jobs import listing as job_listing
    from chalicelib.store.job_list_plan import JobFilter
    from tests.support.read_counts import reads

    started = time.perf_counter()
    with reads() as found:
        listing = job_listing.listing(JobFilter(**filters), now=NOW, page_size=PAGE_SIZE)
    milliseconds = (time.perf_counter() - started) * 1000
    entry, row = sizes(jobs)
    units = {
        counting: sum(math.ceil(scanned * entry / UNIT) / 2 for scanned, only in found.queries if only == counting)
        for counting in (False, True)
    }
    total = f"{listing.total}{'+' if listing.total_is_lower_bound else ''}"
    print(
        f"{shown(filters):44} {total:>7} {found.entries:>7} {found.rows:>5} "
        f"{units[False] + found.rows * math.ceil(row / UNIT):>6.1f} {found.names:>6} {found.counted:>8} "
        f"{units[True]:>6.1f} {milliseconds:>6.0f}"
    )
    assert found.of_page <= 4 * PAGE_SIZE, found


def sizes(jobs: list[PlainJob]) -> tuple[float, float]:
    """The mean size of an index entry and of a row, in bytes."""
    items = [item_of(job) for job in jobs[:200]]
    entries = [{name: item[name] for name in ("job_id", "kind", "facets", "search_name")} for item in items]
    return sum(map(size_of, entries)) / len(items), sum(size_of(item | BESIDES) for item in items) / len(items)


def shown(filters: dict[str, Any]) -> str:
    texts = {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in filters.items()}
    return " ".join(f"{name}={text[:36]}" for name, text in texts.items())[:44] or "(all)"


@contextmanager
def emulated() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        state, port = Path(folder), emulator.free_port()
        with (state / "lock").open("w") as lock:
            child = emulator.start(state, port, lock)
            try:
                with ministack_world(port, patch) as world:
                    yield world
            finally:
                emulator.stop(child, state)


if __name__ == "__main__":
    main()
