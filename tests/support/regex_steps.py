"""Counts the steps in which a pattern is tried on a text, by backtracking as Python's own engine does.

The engine itself tells no steps, and its time is no measure on a busy machine. This one reads the pattern's parse tree,
takes one step for each node that it tries at each place, and gives up above a limit.
"""

from __future__ import annotations

import re._constants as sre
import re._parser as parser
import sys
from collections.abc import Callable, Iterator
from typing import Any

# A text of some hundred characters nests some thousand calls.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 60_000))

Then = Callable[[int], bool]


class TooMany(Exception):
    """The steps went above the limit."""


def steps(pattern: str, flags: int, text: str, *, limit: int, method: str) -> int:
    """The steps of `fullmatch`, of `match`, or of a search for all that it matches; `TooMany` above the limit."""
    counter = _Counter(text, limit)
    nodes = list(parser.parse(pattern, flags))
    if method == "fullmatch":
        counter.run(nodes, 0, lambda at: at == len(text))
    elif method == "match":
        counter.run(nodes, 0, lambda at: True)
    else:
        at = 0
        while at <= len(text):
            stop = counter.first(nodes, at)
            at = at + 1 if stop is None or stop == at else stop
    return counter.taken


class _Counter:
    def __init__(self, text: str, limit: int) -> None:
        self.text, self.limit, self.taken = text, limit, 0

    def run(self, nodes: list[Any], at: int, then: Then) -> bool:
        if not nodes:
            return then(at)
        self.taken += 1
        if self.taken > self.limit:
            raise TooMany
        (kind, value), rest = nodes[0], nodes[1:]
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            least, most, inner = value
            return self._repeat(kind, int(least), int(most), list(inner), at, lambda stop: self.run(rest, stop, then))
        if kind is sre.SUBPATTERN:
            return self.run([*value[-1], *rest], at, then)
        if kind is sre.BRANCH:
            return any(self.run([*branch, *rest], at, then) for branch in value[1])
        if kind is sre.ATOMIC_GROUP:
            stop = self.first(list(value), at)
            return stop is not None and self.run(rest, stop, then)
        if kind in (sre.ASSERT, sre.ASSERT_NOT):
            direction, inner = value
            begin = at if direction > 0 else at - inner.getwidth()[0]
            found = begin >= 0 and self.first(list(inner), begin) is not None
            return found == (kind is sre.ASSERT) and self.run(rest, at, then)
        if kind is sre.AT:
            return self.run(rest, at, then)
        return at < len(self.text) and accepts(kind, value, self.text[at]) and self.run(rest, at + 1, then)

    def first(self, nodes: list[Any], at: int) -> int | None:
        found: list[int] = []

        def keep(stop: int) -> bool:
            found.append(stop)
            return True

        return found[0] if self.run(nodes, at, keep) else None

    def _repeat(self, kind: Any, least: int, most: int, inner: list[Any], at: int, then: Then) -> bool:
        if kind is sre.POSSESSIVE_REPEAT:
            count = 0
            while count < most and (stop := self.first(inner, at)) is not None and stop > at:
                at, count = stop, count + 1
            return count >= least and then(at)

        def again(stop: int) -> bool:
            return (stop > at or least > 0) and self._repeat(kind, max(0, least - 1), most - 1, inner, stop, then)

        if least > 0:
            return self.run(inner, at, again)
        if kind is sre.MIN_REPEAT:
            return then(at) or (most > 0 and self.run(inner, at, again))
        return (most > 0 and self.run(inner, at, again)) or then(at)


def accepts(kind: Any, value: Any, character: str) -> bool:
    """Whether a node that stands for one character stands for this one; letters of both cases count as the same."""
    code = ord(character)
    if kind is sre.LITERAL:
        return chr(value).lower() == character.lower()
    if kind is sre.NOT_LITERAL:
        return bool(code != value)
    if kind is sre.ANY:
        return True
    if kind is sre.IN:
        negated = value[0][0] is sre.NEGATE
        return negated != any(_in(item, code, character) for item in value if item[0] is not sre.NEGATE)
    raise AssertionError(f"{kind} is not counted yet")


def _in(item: tuple[Any, Any], code: int, character: str) -> bool:
    kind, value = item
    if kind is sre.LITERAL:
        return bool(code == value)
    if kind is sre.RANGE:
        return bool(value[0] <= code <= value[1])
    told = {
        sre.CATEGORY_DIGIT: character.isdigit(),
        sre.CATEGORY_SPACE: character.isspace(),
        sre.CATEGORY_WORD: character.isalnum() or character == "_",
        sre.CATEGORY_NOT_SPACE: not character.isspace(),
    }
    return told[value]


def pumps(pattern: str, flags: int) -> Iterator[tuple[str, str]]:
    """(beginning, what is repeated) of texts that reach each repetition of the pattern, and stay in it."""
    nodes = list(parser.parse(pattern, flags))
    for before, repeated in _pumps(nodes, ""):
        yield before, repeated
        for character in {*samples(nodes)[-1]}:
            yield before, character


def _pumps(nodes: list[Any], before: str) -> Iterator[tuple[str, str]]:
    for kind, value in nodes:
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            for sample in samples(list(value[2])):
                yield before, sample
            yield from _pumps(list(value[2]), before)
        elif kind is sre.SUBPATTERN:
            yield from _pumps(list(value[-1]), before)
        elif kind is sre.BRANCH:
            for branch in value[1]:
                yield from _pumps(list(branch), before)
        before += samples([(kind, value)])[0]


def samples(nodes: list[Any]) -> list[str]:
    """Some texts that the nodes accept, the shortest first."""
    found = [""]
    for kind, value in nodes:
        found = [begun + more for begun in found for more in _samples_of(kind, value)][:8]
    return found


def _samples_of(kind: Any, value: Any) -> list[str]:
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        least, most, inner = value
        each = samples(list(inner))
        lengths = sorted({int(least), min(int(most), int(least) + 1), min(int(most), int(least) + 2)})
        return [sample * length for length in lengths for sample in each]
    if kind is sre.SUBPATTERN:
        return samples(list(value[-1]))
    if kind is sre.BRANCH:
        return [sample for branch in value[1] for sample in samples(list(branch))]
    if kind is sre.ATOMIC_GROUP:
        return samples(list(value))
    if kind in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
        return [""]
    return [
        next(character for character in (*ALPHABET, *map(chr, range(128, 1 << 16))) if accepts(kind, value, character))
    ]


# The characters that texts are made of: what patterns name, then all others of ASCII.
ALPHABET = "-a1 '\n" + "".join(map(chr, range(128)))
