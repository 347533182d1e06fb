"""The form of an archived log: JSON Lines in gzip, of which a page can be read without the rest.

An archive is a row of gzip members of MEMBER_LINES lines each. The last member is empty and carries, in the comment
that gzip allows (RFC 1952, FCOMMENT), where each of the others begins. Any gunzip gives the plain JSON Lines; whoever
reads the end of the object first finds the member that a page needs. The index can never belong to another version of
the object than the lines do.
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from chalicelib.core.log_lines import ALERTS, LogLine, as_json, from_json

# Some 20 to 40 KB compressed: what a page reads at the least.
MEMBER_LINES = 2_000
# ID1, ID2, deflate, FCOMMENT, no time, no flags, unknown system.
_COMMENTED = b"\x1f\x8b\x08\x10\0\0\0\0\0\xff"
# An empty deflate block, and the CRC and length of nothing.
_NOTHING = b"\x03\0" + bytes(8)


@dataclass(frozen=True)
class Index:
    """Where the lines of an archive are."""

    # The sequence of the run's last line when this was archived; of alerts too: the last of all lines.
    last: int
    # For each member the sequence of its first line, and the byte at which it begins.
    members: tuple[tuple[int, int], ...]
    # The byte behind the last line.
    end: int

    def holding(self, sequence: int) -> int:
        """The number of the member from which the lines from `sequence` on are to be read."""
        firsts = [first for first, _ in self.members]
        return max(0, bisect_right(firsts, sequence) - 1)

    def span(self, first: int, count: int) -> tuple[int, int]:
        """The bytes of `count` members, or as many as there are: from, and up to but not with."""
        behind = first + count
        return self.members[first][1], self.members[behind][1] if behind < len(self.members) else self.end


@dataclass
class Packer:
    """Takes lines in order; keeps them compressed, so that a long run's log fits in memory."""

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
        """The archive of all lines so far. More may be added afterwards."""
        members, body = list(self._members), bytes(self._bytes)
        if self._open:
            members.append((self._first, len(body)))
            body += _member(self._open)
        index = json.dumps({"last": last, "members": members}, separators=(",", ":"))
        return body + _COMMENTED + index.encode("ascii") + b"\0" + _NOTHING


@dataclass
class RunPacker:
    """The two archives of one run: all lines, and the alerts among them."""

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
    """The index of an archive of `size` bytes, found in its last bytes; None when it begins before them."""
    start = tail.rfind(_COMMENTED)
    if start < 0:
        return None
    found = json.loads(tail[start + len(_COMMENTED) : -len(_NOTHING) - 1])
    members = tuple((first, offset) for first, offset in found["members"])
    return Index(found["last"], members, size - len(tail) + start)


def unpack(members: bytes) -> Iterator[LogLine]:
    """The lines of one member or several."""
    for line in gzip.decompress(members).split(b"\n"):
        if line:
            yield from_json(line)
