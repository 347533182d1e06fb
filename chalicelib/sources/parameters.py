"""The values of a report's parameters: from the job's slot, from task and job, and from the report's defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from chalicelib.errors import FieldProblem, ParametersRefused

# Every job gives its queries these itself (core/schedules/window.py), so a report cannot declare them. Only a job with
# a window gives those of WINDOW.
WINDOW = frozenset(
    {*(f"window_{edge}{form}" for edge in ("start", "end") for form in ("", "_local", "_date")), "window_last_date"}
)
GIVEN = WINDOW | {"scheduled_for", "scheduled_for_local", "scheduled_for_date"}


class ParameterType(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"


class Parameter(BaseModel):
    """A declared parameter. Without a default and not required, it is NULL."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    type: ParameterType = ParameterType.STRING
    default: Any = None
    required: bool = False


def resolve_parameters(
    declared: Sequence[Parameter], given: Mapping[str, Any], slot: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Every value that a query may use, by name. `slot` holds those of GIVEN that the job has; nothing overrides them.

    Raises `ParametersRefused` with a problem per `parameters.<name>`.
    """
    slot = slot or {}
    known = [parameter for parameter in declared if parameter.name not in slot]
    defaults = {parameter.name: parameter.default for parameter in known}
    full = defaults | {name: defaults.get(name) if value is None else value for name, value in given.items()}
    problems = mistakes(known, full)
    for parameter in known:
        if parameter.required and full[parameter.name] is None:
            message = f"The report's parameter {parameter.name} needs a value."
            problems.append(FieldProblem(f"parameters.{parameter.name}", message))
    if problems:
        raise ParametersRefused(" ".join(problem.message for problem in problems), problems=problems)
    return {**{each.name: _converted(each, full[each.name]) for each in known}, **slot}


def mistakes(declared: Sequence[Parameter], given: Mapping[str, Any], field: str = "parameters") -> list[FieldProblem]:
    """A problem per `<field>.<name>` for each value that is wrong by itself. It does not ask for missing ones."""
    known = {parameter.name: parameter for parameter in declared}
    problems = []
    for name in given:
        if name in GIVEN:
            problems.append(FieldProblem(f"{field}.{name}", f"{name} comes from the window and cannot be set."))
        elif name not in known:
            problems.append(FieldProblem(f"{field}.{name}", f"The report has no parameter named {name}."))
    for name, parameter in known.items():
        try:
            _converted(parameter, given.get(name))
        except (ValueError, TypeError, OverflowError, InvalidOperation):
            problems.append(FieldProblem(f"{field}.{name}", f"{name} is not {_WANTED[parameter.type]}."))
    return problems


def _converted(parameter: Parameter, value: Any) -> Any:
    return None if value is None else _CONVERTERS[parameter.type](value)


def _string(value: Any) -> str:
    if isinstance(value, dict | list):
        raise TypeError
    return str(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError
    return int(value)


def _number(value: Any) -> int | Decimal:
    """Exact: a decimal text keeps its digits."""
    if isinstance(value, bool):
        raise TypeError
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}[value] if value in ("true", "false") else _refuse()


def _refuse() -> Any:
    raise ValueError


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        raise TypeError
    return value if isinstance(value, date) else date.fromisoformat(value)


def _datetime(value: Any) -> datetime:
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError
    instant.astimezone(UTC)  # some databases take it in UTC, where the first and the last hours of the years may not be
    return instant


_CONVERTERS: dict[ParameterType, Callable[[Any], Any]] = {
    ParameterType.STRING: _string,
    ParameterType.INTEGER: _integer,
    ParameterType.NUMBER: _number,
    ParameterType.BOOLEAN: _boolean,
    ParameterType.DATE: _date,
    ParameterType.DATETIME: _datetime,
}
_WANTED = {
    ParameterType.STRING: "text",
    ParameterType.INTEGER: "a whole number",
    ParameterType.NUMBER: "a number",
    ParameterType.BOOLEAN: "true or false",
    ParameterType.DATE: "a date like 2013-01-31",
    ParameterType.DATETIME: "an instant with a zone like 2013-01-31T16:00:00Z",
}
