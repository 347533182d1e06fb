"""The steps of a deploy: DynamoDB changes one index of a table at a time, so each index gets a change set of its own.

    old code, one more index …  ->  new code  ->  new code, one index less …

New code finds the indexes it reads filled, and old code keeps those that it reads until it is gone. The steps follow
from what the tables are now, so a deploy that broke off is taken up by planning again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# DynamoDB's limit for the indexes of a table.
MOST_INDEXES = 20

Indexes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """One change set: what it does, in words, and the template that it brings."""

    what: str
    template: dict[str, Any]
    # Whether this is still the template of before, apart from its indexes: its parameters keep their values.
    before: bool = False


@dataclass(frozen=True)
class Table:
    """A table as it is: its indexes, and the types of the columns that are keys."""

    indexes: Indexes
    types: dict[str, str]

    @classmethod
    def described(cls, description: Mapping[str, Any]) -> Table:
        """From the answer of DescribeTable, or from a template's properties."""
        indexes = {
            each["IndexName"]: {name: each[name] for name in ("IndexName", "KeySchema", "Projection")}
            for each in description.get("GlobalSecondaryIndexes", [])
        }
        types = {each["AttributeName"]: each["AttributeType"] for each in description["AttributeDefinitions"]}
        return cls(indexes, types)


def tables(template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The properties of a template's tables, by logical id."""
    return {
        name: each["Properties"]
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::DynamoDB::Table"
    }


def plan(before: dict[str, Any] | None, after: dict[str, Any], live: Mapping[str, Table]) -> list[Step]:
    """The steps from the template `before` (None: no stack yet) to `after`.

    `live` has the tables that exist, by logical id, also those that a deleted stack has left.
    """
    wanted = {name: Table.described(found) for name, found in tables(after).items()}
    state = {name: dict(table.indexes) for name, table in live.items() if name in wanted}
    types = {name: live[name].types | wanted[name].types for name in state}

    def step(what: str, base: dict[str, Any]) -> Step:
        return Step(what, with_indexes(base, state, types, keep=wanted), before=base is before)

    steps: list[Step] = []
    if before is None:
        steps.append(step("create the stack", after))
    base = after if before is None else before
    for name, table in wanted.items():
        if name in state:
            steps += [step(what, base) for what in _towards(name, state[name], table.indexes)]
    if before is not None:
        steps.append(step("bring in the new version", after))
    for name in state:
        for index in sorted(state[name].keys() - wanted[name].indexes.keys()):
            del state[name][index]
            steps.append(step(f"remove index {index} of {name}", after))
    return steps


def _towards(name: str, state: Indexes, wanted: Indexes) -> Iterator[str]:
    """Change `state` by one index at a time until it has all that are wanted; yields what each change does."""
    for index, definition in wanted.items():
        if index in state and not _same(state[index], definition):
            del state[index]
            yield f"remove index {index} of {name}, which changes"
    for index, definition in wanted.items():
        if index in state:
            continue
        if len(state) >= MOST_INDEXES:
            spare = min(state.keys() - wanted.keys())
            del state[spare]
            yield f"remove index {spare} of {name}, to make room"
        state[index] = definition
        yield f"add index {index} to {name}"


def with_indexes(
    template: dict[str, Any],
    state: Mapping[str, Indexes],
    types: Mapping[str, Mapping[str, str]],
    *,
    keep: Mapping[str, Table],
) -> dict[str, Any]:
    """The template with these indexes. A table that has those of `keep` is left as the template writes it."""
    made = copy.deepcopy(template)
    for name, properties in tables(made).items():
        if name not in state:
            continue
        here = Table.described(properties)
        if here.indexes.keys() == state[name].keys() and all(
            _same(here.indexes[index], state[name][index]) for index in here.indexes
        ):
            continue
        known = keep[name].indexes
        properties["GlobalSecondaryIndexes"] = [
            known[index] if index in known and _same(known[index], found) else found
            for index, found in state[name].items()
        ]
        if not properties["GlobalSecondaryIndexes"]:
            del properties["GlobalSecondaryIndexes"]
        # DynamoDB takes exactly the columns that are keys.
        schemas = [properties["KeySchema"], *(each["KeySchema"] for each in state[name].values())]
        used = sorted({key["AttributeName"] for schema in schemas for key in schema})
        properties["AttributeDefinitions"] = [
            {"AttributeName": column, "AttributeType": types[name][column]} for column in used
        ]
    return made


def differs(after: Mapping[str, Any], live: Mapping[str, Table]) -> bool:
    """Whether a table that exists has other indexes than the template's."""
    for name, properties in tables(after).items():
        if name in live:
            wanted, found = Table.described(properties).indexes, live[name].indexes
            if wanted.keys() != found.keys() or not all(_same(wanted[index], found[index]) for index in wanted):
                return True
    return False


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return _comparable(one) == _comparable(other)


def _comparable(index: Mapping[str, Any]) -> tuple[Any, ...]:
    keys = tuple(sorted((key["KeyType"], key["AttributeName"]) for key in index["KeySchema"]))
    projection = index["Projection"]
    return keys, projection["ProjectionType"], tuple(sorted(projection.get("NonKeyAttributes", [])))
