from __future__ import annotations

import gzip
import json

from chalicelib.core.log_gzip import MEMBER_LINES, Packer, index_in, unpack
from chalicelib.core.log_lines import LogLine


def test_any_gunzip_gives_the_lines_of_an_archive_and_its_index_finds_each() -> None:
    packer, count = Packer(), 2 * MEMBER_LINES + 10
    for number in range(1, count + 1):
        packer.add(LogLine(3 * number, "t", "WARN", "run", f"line {number}"))
    archive = packer.packed(last=99_999)
    plain = gzip.decompress(archive).splitlines()
    assert [json.loads(line)["sequence"] for line in plain] == [3 * number for number in range(1, count + 1)]
    assert index_in(archive[-20:], size=len(archive)) is None
    index = index_in(archive[-300:], size=len(archive))
    assert index is not None
    assert (index.last, [first for first, _ in index.members]) == (99_999, [3, 6_003, 12_003])
    for sequence in (1, 3, 6_000, 6_002, 6_003, 12_030, 90_000):
        start, stop = index.span(index.holding(sequence), 1)
        held = [line.sequence for line in unpack(archive[start:stop])]
        assert held[0] <= max(sequence, 3)
        assert held[-1] >= min(sequence, 3 * count) - 2
    assert archive == packer.packed(last=99_999)
