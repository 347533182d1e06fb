"""What a task of the export kind may say, and what is refused of it before any run."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.errors import Invalid
from chalicelib.kinds.report_export.kind import Ports, ReportExport
from tests.support.export_runs import WINDOWED, Records
from tests.support.postgres import PostgresServer


def check(spec: dict[str, Any], *, has_window: bool = True) -> dict[str, Any]:
    never = Ports(load_report=_never, load_source=_never, load_secret=_never, s3=lambda: None, bucket="")
    return ReportExport(never).check_spec(spec, has_window=has_window, timezone="Asia/Shanghai")


def _never(record_id: str) -> Any:
    raise AssertionError


def test_the_canonical_spec_names_every_default() -> None:
    assert check({"report_id": "R1"}) == {
        "report_id": "R1",
        "format": "csv",
        "compression": "none",
        "file_name": "",
        "csv": {
            "delimiter": ",",
            "header": True,
            "line_end": "lf",
            "bom": False,
            "null_text": "",
            "formula_guard": True,
        },
        "parameters": {},
        "if_empty": "publish",
    }


def test_a_canonical_spec_is_accepted_again() -> None:
    once = check({"report_id": "R1", "compression": "gzip", "file_name": "a-{window_start:%Y%m%d}.csv.gz"})
    assert check(once) == once


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.report_id"),
        ({"report_id": ""}, "spec.report_id"),
        ({"report_id": "a/b"}, "spec.report_id"),
        ({"report_id": "R1", "format": "xlsx"}, "spec.format"),
        ({"report_id": "R1", "compression": "zip"}, "spec.compression"),
        ({"report_id": "R1", "csv": {"delimiter": "ab"}}, "spec.csv.delimiter"),
        ({"report_id": "R1", "csv": {"line_end": "cr"}}, "spec.csv.line_end"),
        ({"report_id": "R1", "parameters": []}, "spec.parameters"),
        ({"report_id": "R1", "if_empty": "perhaps"}, "spec.if_empty"),
        ({"report_id": "R1", "colour": "red"}, "spec.colour"),
        ({"report_id": "R1", "file_name": "{nonsense}"}, "spec.file_name"),
        ({"report_id": "R1", "file_name": "a/b"}, "spec.file_name"),
    ],
)
def test_a_wrong_spec_names_its_field(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(spec)
    assert [problem.field for problem in refused.value.problems] == [field]


def test_a_name_from_the_window_needs_a_window() -> None:
    assert check({"report_id": "R1", "file_name": "{window_start:%Y}"})["file_name"] == "{window_start:%Y}"
    with pytest.raises(Invalid) as refused:
        check({"report_id": "R1", "file_name": "{window_start:%Y}"}, has_window=False)
    assert refused.value.field == "spec.file_name"


NEEDY = {
    "parameters": [{"name": "top", "type": "integer", "required": True}, {"name": "day", "type": "date"}],
    "queries": [{"name": "q", "sql": "SELECT 1 AS a"}],
}


def fields(records: Records, parameters: dict[str, Any], in_spec: dict[str, Any], **how: bool) -> list[str]:
    """What the kind says of a task's parameters."""
    spec = {"report_id": "R1", "parameters": in_spec}
    try:
        records.export().check_parameters(spec, parameters, **({"has_window": True, "complete": True} | how))
    except Invalid as error:
        return [problem.field for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("parameters", "in_spec", "how", "found"),
    [
        ({"top": 1}, {}, {}, []),
        ({}, {"top": "1", "day": "2013-01-31"}, {}, []),
        ({}, {}, {}, ["parameters.top"]),
        ({}, {}, {"complete": False}, []),
        ({"top": "x"}, {}, {"complete": False}, ["parameters.top"]),
        ({"bottom": 1}, {"top": 1}, {}, ["parameters.bottom"]),
        ({"top": 1}, {"top": "x", "left": 1}, {}, ["spec.parameters.left", "spec.parameters.top"]),
        ({"top": 1, "window_start": "2013-01-01"}, {}, {}, ["parameters.window_start"]),
        ({"top": 1}, {}, {"has_window": False}, []),
    ],
)
def test_wrong_parameters_are_known_before_a_run(
    postgres: PostgresServer, parameters: Any, in_spec: Any, how: Any, found: list[str]
) -> None:
    assert fields(Records.of(None, postgres, **NEEDY), parameters, in_spec, **how) == found


def test_a_report_that_needs_a_window_is_known_before_a_run(postgres: PostgresServer) -> None:
    records = Records.of(None, postgres, queries=WINDOWED)
    assert fields(records, {}, {}) == []
    assert fields(records, {}, {}, has_window=False, complete=False) == ["window"]


def test_a_report_that_does_not_exist_is_known_before_a_run() -> None:
    assert fields(Records(None), {}, {}) == ["spec.report_id"]
