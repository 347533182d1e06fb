"""The format of an archived log: JSON Lines in gzip, of which a reader can fetch one page without the rest.

An archive is a sequence of gzip members of MEMBER_LINES lines each. A last, empty member holds the index: where each
member begins, in the comment that gzip allows (RFC 1952, FCOMMENT). Any gunzip gives the plain JSON Lines. A reader
that fetches the end of the object first knows which member holds a page. Lines and index are one object, so they
always belong together.
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from chalicelib.core.log_lines import ALERTS, LogLine, as_json, from_json

# 20 to 40 KB compressed: a reader fetches at least one member.
MEMBER_LINES = 2_000
# A gzip header: ID1, ID2, deflate, FCOMMENT, no time, no flags, unknown system.
_COMMENTED = b"\x1f\x8b\x08\x10\0\0\0\0\0\xff"
# An empty deflate block, and the CRC and length of no data.
_NOTHING = b"\x03\0" + bytes(8)


@dataclass(frozen=True)
class Index:
    """Where the members of an archive begin, and their lines."""

    # The sequence of the run's last line when it was archived. The archive of alerts has the same: that of all lines.
    last: int
    # For each member the sequence of its first line, and its first byte.
    members: tuple[tuple[int, int], ...]
    # The first byte after the last member with lines.
    end: int

    def holding(self, sequence: int) -> int:
        """The number of the member that holds the line `sequence`, or the first one after it."""
        firsts = [first for first, _ in self.members]
        return max(0, bisect_right(firsts, sequence) - 1)

    def span(self, first: int, count: int) -> tuple[int, int]:
        """The bytes `[start, end)` of `count` members, or of those that are left."""
        after = first + count
        return self.members[first][1], self.members[after][1] if after < len(self.members) else self.end


@dataclass
class Packer:
    """Builds an archive from lines in order. It keeps them compressed, so that the log of a long run fits in memory."""

    _bytes: bytearray = field(default_factory=bytearray)
    _members: list[tuple[int, int]] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)
    _first: int = 0

    @property
    def empty(self) -> bool:
        return not self._members and not self._open

    def add(self, line: LogLine) -> None:
        if not self._open:
            self._first = line.sequence
        self._open.append(as_json(line) + "\n")
        if len(self._open) == MEMBER_LINES:
            self._members.append((self._first, len(self._bytes)))
            self._bytes += _member(self._open)
            self._open = []

    def packed(self, *, last: int) -> bytes:
        """The archive of the lines so far; more may be added after it."""
        members, body = list(self._members), bytes(self._bytes)
        if self._open:
            members.append((self._first, len(body)))
            body += _member(self._open)
        index = json.dumps({"last": last, "members": members}, separators=(",", ":"))
        return body + _COMMENTED + index.encode("ascii") + b"\0" + _NOTHING


@dataclass
class RunPacker:
    """The two archives of one run: one of all lines, one of the alerts."""

    lines: Packer = field(default_factory=Packer)
    alerts: Packer = field(default_factory=Packer)
    last: LogLine | None = None

    def add(self, line: LogLine) -> None:
        self.lines.add(line)
        if line.level in ALERTS:
            self.alerts.add(line)
        self.last = line


def _member(lines: list[str]) -> bytes:
    return gzip.compress("".join(lines).encode(), mtime=0)


def index_in(tail: bytes, *, size: int) -> Index | None:
    """The index, read from the last bytes of an archive of `size` bytes; None when `tail` is too short for it."""
    start = tail.rfind(_COMMENTED)
    if start < 0:
        return None
    found = json.loads(tail[start + len(_COMMENTED) : -len(_NOTHING) - 1])
    members = tuple((first, offset) for first, offset in found["members"])
    return Index(found["last"], members, size - len(tail) + start)


def unpack(members: bytes) -> Iterator[LogLine]:
    """The lines of one or more members."""
    for line in gzip.decompress(members).split(b"\n"):
        if line:
            yield from_json(line)
