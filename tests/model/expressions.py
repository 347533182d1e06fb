"""DynamoDB's expressions, as pynamodb writes them: compiled once per text, run on items as they are stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

Item = dict[str, Any]
# What an expression is run with: the item, the names behind `#0` and the values behind `:0`.
Run = Callable[[Item, Mapping[str, str], Mapping[str, Any]], Any]

_TOKEN = re.compile(r"\s*(#\w+|:\w+|[A-Za-z_]+|<=|>=|<>|[=<>(),+\-])")
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def plain(value: dict[str, Any]) -> Any:
    """The Python value of a stored one, for comparing: numbers as numbers, sets as sets."""
    [(kind, content)] = value.items()
    if kind == "N":
        return float(content)
    return frozenset(content) if kind in ("SS", "NS") else content


def equal(a: Any, b: Any) -> bool:
    return a is not None and b is not None and a.keys() == b.keys() and plain(a) == plain(b)


def ordered(sign: str, a: Any, b: Any) -> bool:
    return a is not None and b is not None and a.keys() == b.keys() and _ORDERED[sign](plain(a), plain(b))


class _Tokens:
    def __init__(self, text: str):
        self.left = _TOKEN.findall(text)
        assert "".join(self.left) == re.sub(r"\s", "", text), f"not understood: {text}"
        self.left.reverse()

    def peek(self) -> str:
        return self.left[-1] if self.left else ""

    def take(self, *wanted: str) -> str:
        token = self.left.pop()
        assert not wanted or token in wanted, f"{token} where {wanted} belongs"
        return str(token)

    def maybe(self, *wanted: str) -> str | None:
        return self.take() if self.peek() in wanted else None


@cache
def condition(text: str) -> Run:
    tokens = _Tokens(text)
    made = _either(tokens)
    assert not tokens.left, f"left over: {tokens.left}"
    return made


def _either(tokens: _Tokens) -> Run:
    parts = [_both(tokens)]
    while tokens.maybe("OR"):
        parts.append(_both(tokens))
    return parts[0] if len(parts) == 1 else lambda *on: any(part(*on) for part in parts)


def _both(tokens: _Tokens) -> Run:
    parts = [_one(tokens)]
    while tokens.maybe("AND"):
        parts.append(_one(tokens))
    return parts[0] if len(parts) == 1 else lambda *on: all(part(*on) for part in parts)


def _one(tokens: _Tokens) -> Run:
    if tokens.maybe("NOT"):
        negated = _one(tokens)
        return lambda *on: not negated(*on)
    if tokens.maybe("("):
        inner = _either(tokens)
        tokens.take(")")
        return inner
    if tokens.peek() in _TESTS:
        return _test(tokens)
    left = operand(tokens)
    sign = tokens.take("=", "<>", "<", "<=", ">", ">=", "IN", "BETWEEN")
    if sign == "IN":
        choices = _arguments(tokens)
        return lambda *on: any(equal(left(*on), choice(*on)) for choice in choices)
    if sign == "BETWEEN":
        low = operand(tokens)
        tokens.take("AND")
        high = operand(tokens)
        return lambda *on: ordered(">=", left(*on), low(*on)) and ordered("<=", left(*on), high(*on))
    right = operand(tokens)
    if sign == "=":
        return lambda *on: equal(left(*on), right(*on))
    if sign == "<>":
        return lambda *on: not equal(left(*on), right(*on))
    return lambda *on: ordered(sign, left(*on), right(*on))


def _test(tokens: _Tokens) -> Run:
    test, arguments = _TESTS[tokens.take()], _arguments(tokens)
    return lambda *on: test(*(argument(*on) for argument in arguments))


def _contains(value: Any, part: Any) -> bool:
    if value is None:
        return False
    content = plain(part)
    return content in plain(value)


_TESTS: dict[str, Callable[..., bool]] = {
    "attribute_exists": lambda value: value is not None,
    "attribute_not_exists": lambda value: value is None,
    "begins_with": lambda value, start: value is not None and plain(value).startswith(plain(start)),
    "contains": _contains,
}


def _arguments(tokens: _Tokens) -> list[Run]:
    tokens.take("(")
    found = [operand(tokens)]
    while tokens.take(",", ")") == ",":
        found.append(operand(tokens))
    return found


def operand(tokens: _Tokens) -> Run:
    token = tokens.take()
    if token.startswith("#"):
        return lambda item, names, values: item.get(names[token])
    if token.startswith(":"):
        return lambda item, names, values: values[token]
    assert re.fullmatch(r"\w+", token), f"{token} is not understood"
    if token == "size":
        [sized] = _arguments(tokens)
        return lambda *on: None if sized(*on) is None else {"N": str(len(plain(sized(*on))))}
    if token != "if_not_exists":
        return lambda item, names, values: item.get(token)
    first, second = _arguments(tokens)
    return lambda *on: second(*on) if first(*on) is None else first(*on)


@cache
def update(text: str) -> Callable[[Item, Mapping[str, str], Mapping[str, Any]], Item]:
    """What makes the changed item; every value is computed from the item as it was, as DynamoDB does."""
    tokens, changes = _Tokens(text), []
    while tokens.left:
        clause = tokens.take("SET", "REMOVE", "ADD", "DELETE")
        while True:
            name = tokens.take()
            changes.append((name, _CLAUSES[clause](name, tokens)))
            if not tokens.maybe(","):
                break
    assert len({name for name, _ in changes}) == len(changes), "two changes of one column"

    def apply(item: Item, names: Mapping[str, str], values: Mapping[str, Any]) -> Item:
        after = dict(item)
        for name, change in changes:
            value = change(item, names, values)
            if value is None:
                after.pop(names[name], None)
            else:
                after[names[name]] = value
        return after

    return apply


def _set(name: str, tokens: _Tokens) -> Run:
    tokens.take("=")
    first = operand(tokens)
    sign = tokens.maybe("+", "-")
    if sign is None:
        return first
    second = operand(tokens)
    return lambda *on: _sum(first(*on), second(*on), 1 if sign == "+" else -1)


def _sum(a: Any, b: Any, factor: int) -> Any:
    assert a is not None, "ValidationException: the column to add to does not exist"
    return {"N": str(int(a["N"]) + factor * int(b["N"]))}


def _remove(name: str, tokens: _Tokens) -> Run:
    return lambda *on: None


def _add(name: str, tokens: _Tokens) -> Run:
    more = operand(tokens)

    def added(item: Item, names: Mapping[str, str], values: Mapping[str, Any]) -> Any:
        before, new = item.get(names[name]), more(item, names, values)
        if "N" in new:
            return _sum(before or {"N": "0"}, new, 1)
        return {"SS": sorted({*(before or {"SS": []})["SS"], *new["SS"]})}

    return added


def _delete(name: str, tokens: _Tokens) -> Run:
    less = operand(tokens)

    def removed(item: Item, names: Mapping[str, str], values: Mapping[str, Any]) -> Any:
        left = sorted({*item.get(names[name], {"SS": []})["SS"]} - {*less(item, names, values)["SS"]})
        return {"SS": left} if left else None

    return removed


_CLAUSES: dict[str, Callable[[str, _Tokens], Run]] = {
    "SET": _set, "REMOVE": _remove, "ADD": _add, "DELETE": _delete,
}  # fmt: skip
