"""The values of a report's parameters."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from chalicelib.core.schedules.window import window_parameters
from chalicelib.errors import ParametersRefused
from chalicelib.sources.parameters import GIVEN, WINDOW, Parameter, mistakes, resolve_parameters


def declared(type: str = "string", **overrides: Any) -> list[Parameter]:
    return [Parameter.model_validate({"name": "p", "type": type, **overrides})]


@pytest.mark.parametrize(
    ("type", "given", "value"),
    [
        ("string", "x", "x"),
        ("string", 5, "5"),
        ("integer", 5, 5),
        ("integer", "-5", -5),
        ("integer", 5.0, 5),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("number", "0.10", Decimal("0.10")),
        ("number", 0.1, Decimal("0.1")),
        ("boolean", True, True),
        ("boolean", "false", False),
        ("date", "2013-01-31", date(2013, 1, 31)),
        ("datetime", "2013-01-31T16:00:00Z", datetime(2013, 1, 31, 16, tzinfo=UTC)),
    ],
)
def test_a_value_is_converted_by_its_declared_type(type: str, given: Any, value: Any) -> None:
    found = resolve_parameters(declared(type), {"p": given})["p"]
    assert found == value
    assert str(found) == str(value)


@pytest.mark.parametrize(
    ("type", "given", "words"),
    [
        ("string", ["a"], "text"),
        ("integer", "5.5", "a whole number"),
        ("integer", 5.5, "a whole number"),
        ("integer", True, "a whole number"),
        ("number", "much", "a number"),
        ("number", "NaN", "a number"),
        ("number", False, "a number"),
        ("boolean", "yes", "true or false"),
        ("boolean", 1, "true or false"),
        ("date", "31.1.2013", "a date"),
        ("date", 20130131, "a date"),
        ("datetime", "2013-01-31T16:00:00", "with a zone"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(type: str, given: Any, words: str) -> None:
    with pytest.raises(ParametersRefused, match=words) as refused:
        resolve_parameters(declared(type), {"p": given})
    assert refused.value.field == "parameters.p"


def test_a_job_overrides_the_default() -> None:
    assert resolve_parameters(declared(default="a"), {"p": "b"}) == {"p": "b"}


def test_the_default_is_converted_too() -> None:
    assert resolve_parameters(declared("date", default="2013-01-31"), {}) == {"p": date(2013, 1, 31)}


def test_a_parameter_without_a_value_is_null() -> None:
    assert resolve_parameters(declared(), {}) == {"p": None}


def test_a_required_parameter_must_be_set() -> None:
    with pytest.raises(ParametersRefused, match="p needs a value"):
        resolve_parameters(declared(required=True), {"p": None})


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ParametersRefused, match="no parameter named q") as refused:
        resolve_parameters(declared(), {"q": 1})
    assert refused.value.field == "parameters.q"


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ParametersRefused) as refused:
        resolve_parameters(declared("integer"), {"p": "x", "q": 1, "r": 2})
    assert [problem.field for problem in refused.value.problems] == ["parameters.q", "parameters.r", "parameters.p"]


def test_the_window_cannot_be_overridden() -> None:
    slot = {"window_start": datetime(2013, 1, 1, tzinfo=UTC)}
    assert resolve_parameters([Parameter(name="window_start", default="x")], {}, slot) == slot
    with pytest.raises(ParametersRefused, match="comes from the window"):
        resolve_parameters([], {"window_start": "2014-01-01"}, slot)


def test_what_a_job_gives_itself_is_what_the_window_says() -> None:
    at = datetime(2013, 1, 1, tzinfo=UTC)
    assert set(window_parameters(at, at, at, "UTC")) == GIVEN
    assert set(window_parameters(None, None, at, "UTC")) == GIVEN - WINDOW


def test_mistakes_do_not_ask_for_values_that_a_start_may_bring() -> None:
    known = [*declared("integer", required=True), Parameter(name="day", type="date")]
    assert mistakes(known, {}) == []
    assert mistakes(known, {"p": None, "day": "2013-01-31"}) == []
    found = mistakes(known, {"q": 1, "p": "x", "window_end": "y"}, "spec.parameters")
    assert [problem.field for problem in found] == [
        "spec.parameters.q",
        "spec.parameters.window_end",
        "spec.parameters.p",
    ]
