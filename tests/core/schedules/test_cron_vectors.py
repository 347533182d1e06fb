"""Facts about cron gathered from public test suites (each names its source) hold here too."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chalicelib.core.schedules.eventbridge import from_eventbridge
from chalicelib.core.schedules.fires import upcoming

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "data" / "cron.json").read_text())["vectors"]
ONE_SECOND = timedelta(seconds=1)


def schedule_of(vector: dict[str, Any]) -> dict[str, Any]:
    if vector.get("import") == "eventbridge":
        return {**from_eventbridge(vector["expression"]), "timezone": vector["timezone"]}
    return {
        "type": "cron",
        "expression": vector["expression"],
        "timezone": vector["timezone"],
        "dst_policy": vector["dst_policy"],
    }


def kind(name: str) -> list[Any]:
    return [pytest.param(vector, id=vector["id"]) for vector in VECTORS if vector["kind"] == name]


def test_every_vector_is_of_a_kind_that_is_checked():
    assert {vector["kind"] for vector in VECTORS} == {"next", "match"}
    assert len({vector["id"] for vector in VECTORS}) == len(VECTORS)


@pytest.mark.parametrize("vector", kind("next"))
def test_fires_follow_each_other(vector: dict[str, Any]):
    expected = [datetime.fromisoformat(text).astimezone(UTC) for text in vector["expected"] or []]
    after = datetime.fromisoformat(vector["start"]) - (ONE_SECOND if vector["inclusive"] else timedelta(0))

    assert upcoming(schedule_of(vector), after=after, count=len(expected) or 1) == expected


@pytest.mark.parametrize("vector", kind("match"))
def test_an_instant_matches_or_not(vector: dict[str, Any]):
    at = datetime.fromisoformat(vector["at"]).astimezone(UTC)

    assert (upcoming(schedule_of(vector), after=at - ONE_SECOND, count=1) == [at]) is vector["match"]
