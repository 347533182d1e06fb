"""Entries of the lists' indexes: read in chunks, merged in the order of their ids, counted.

Queries go through the client itself: pynamodb's iterators read a whole page of 1 MB ahead where ten entries are wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chalicelib.store.base import client
from chalicelib.store.job_list_plan import Lane, Partition

# Queries at the same time; the shared client has more connections.
AT_ONCE = 8
# Where filters are combined, matches may be far apart: the chunks begin with this, about 3 read units, and grow faster.
SPARSE_CHUNK = 100
# No chunk is larger: about what the 1 MB of one answer holds.
LARGEST_CHUNK = 4_000
# Open jobs that a list leaves out at most; beyond, it shows some of them.
MOST_OPEN = 100_000


class Reader:
    """Reads one lane. Begins with `chunk` entries and then takes as many as it has taken so far.

    So of k lanes of one filter no more than `k * chunk` entries are read, plus twice what the merge took from them.
    """

    def __init__(self, lane: Lane, *, oldest_first: bool, chunk: int, left_out: frozenset[str] = frozenset()):
        self.ids: deque[str] = deque()
        # An index by status has no jobs to leave out: there a job's status is the key.
        self.left_out = frozenset[str]() if any(each.index == "by_status" for each in lane) else left_out
        # How many of them this lane has had.
        self.passed = 0
        self._left = deque(lane)
        self._position: dict[str, Any] | None = None
        self._oldest_first = oldest_first
        self._chunk = chunk
        self._read = 0

    def fill(self, wanted: int) -> None:
        """Read until the next id is in `ids`, or the lane ends. `wanted`: how many the merge will take at most."""
        while not self.ids and self._left:
            size, partition = max(self._chunk, self._read), self._left[0]
            if partition.facets:
                size = max(SPARSE_CHUNK, 3 * self._read)
            elif not partition.filtered:
                size = min(size, wanted)
            answer = self._ask(partition, Limit=min(size, LARGEST_CHUNK), ProjectionExpression="job_id")
            self._read += answer["ScannedCount"]
            ids = [item["job_id"]["S"] for item in answer["Items"]]
            self.ids.extend(job_id for job_id in ids if job_id not in self.left_out)
            self.passed += sum(1 for job_id in ids if job_id in self.left_out)

    def count_on(self, still_wanted: Callable[[int], int]) -> None:
        """Count the matches not read yet, an answer at a time.

        `still_wanted` is told of each answer's matches and says how many more are worth counting; 0 ends it.
        """
        more = still_wanted(0)
        while more > 0 and self._left:
            limit = {} if self._left[0].filtered else {"Limit": more}
            more = still_wanted(self._ask(self._left[0], Select="COUNT", **limit)["Count"])

    def _ask(self, partition: Partition, **arguments: Any) -> Any:
        start = {} if self._position is None else {"ExclusiveStartKey": self._position}
        answer = client().query(**partition.query(), ScanIndexForward=self._oldest_first, **start, **arguments)
        self._position = answer.get("LastEvaluatedKey")
        if self._position is None:
            self._left.popleft()
        return answer


def readers(
    lanes: Sequence[Lane], *, oldest_first: bool, wanted: int, left_out: frozenset[str] = frozenset()
) -> list[Reader]:
    """Readers of the lanes, for a merge that takes `wanted` ids. The jobs `left_out` are not in the list."""
    chunk = max(1, wanted // max(1, len(lanes)))
    return [Reader(lane, oldest_first=oldest_first, chunk=chunk, left_out=left_out) for lane in lanes]


def ids_in(lanes: Sequence[Lane]) -> frozenset[str]:
    """Every id in these lanes."""
    found = readers(lanes, oldest_first=False, wanted=LARGEST_CHUNK)
    return frozenset(merged(found, oldest_first=False, wanted=MOST_OPEN)) if found else frozenset()


def merged(found: Sequence[Reader], *, oldest_first: bool, wanted: int) -> list[str]:
    """The first `wanted` ids of all lanes together, in order, each once."""
    _in_parallel(lambda reader: reader.fill(wanted), found)
    better = min if oldest_first else max
    ids: list[str] = []
    while len(ids) < wanted:
        for reader in found:
            reader.fill(wanted - len(ids))
        ahead = [reader for reader in found if reader.ids]
        if not ahead:
            break
        job_id = better(ahead, key=lambda reader: reader.ids[0]).ids.popleft()
        # A job on its way from one open status to the next may stand in the indexes of both.
        if not ids or ids[-1] != job_id:
            ids.append(job_id)
    return ids


def count_rest(found: Sequence[Reader], *, limit: int) -> int:
    """How many matches the merge has left, up to `limit`."""
    counted = sum(len(reader.ids) for reader in found)
    # The queries count those left out, too: each is in one of the lanes.
    left_out = max((len(reader.left_out) for reader in found), default=0) - sum(reader.passed for reader in found)

    def still_wanted(more: int) -> int:
        nonlocal counted
        counted += more
        return limit + left_out - counted

    _in_parallel(lambda reader: reader.count_on(still_wanted), found)
    return max(0, min(counted - left_out, limit))


def _in_parallel(work: Callable[[Reader], None], found: Sequence[Reader]) -> None:
    if len(found) == 1:
        work(found[0])
    elif found:
        with ThreadPoolExecutor(min(AT_ONCE, len(found))) as pool:
            list(pool.map(work, found))
