"""File names: templates are checked up front, and no slot can make a name that some system refuses."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.file_name import accept, render, safe
from chalicelib.errors import Invalid

SLOT: dict[str, Any] = {
    "task": "Daily flights",
    "window_start": datetime(2026, 3, 7, 16, tzinfo=UTC),
    "window_end": datetime(2026, 3, 8, 16, tzinfo=UTC),
    "scheduled_for": datetime(2026, 3, 8, 18, 5, tzinfo=UTC),
    "timezone": "Asia/Shanghai",
    "job_id": "01JOB",
    "query": "delays",
}


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{task}-{window_start:%Y%m%d}.csv.gz", "Daily flights-20260308.csv.gz"),  # the date in the task's zone
        ("{task}_{query}_{job_id}.csv", "Daily flights_delays_01JOB.csv"),
        ("{scheduled_for}", "20260309T020500"),
        ("{scheduled_for:%H%M} {window_end:%j}", "0205 068"),
        ("{window_start:%Y年%m月%d日}航班.xlsx", "2026年03月08日航班.xlsx"),
        ("100%{{}}.csv", "100%{}.csv"),
    ],
)
def test_a_template_becomes_a_name(template: str, name: str):
    assert render(accept(template, has_window=True), **SLOT) == name


@pytest.mark.parametrize(
    "template",
    [
        "",
        "   ",
        None,
        5,
        "{unknown}.csv",
        "{}.csv",
        "{0}.csv",
        "{task.__class__}",
        "{task[0]}",
        "{task!r}",
        "{task:>30}",
        "{task",
        "task}",
        "{window_start:%Q}",
        "{window_start:%}",
        "{window_start:%-d}",
        "{window_start:%c}",  # depends on the machine's language
        "{window_start:%H:%M}",  # a colon
        "{window_start:%Y/%m}",
        "{window_start:{task}}",
        "{window_start:day}",
        "a/b.csv",
        "a\\b.csv",
        "../up.csv",
        "a..csv",
        "what?.csv",
        "a\x00b",
        "a\nb",
        "a\x1b[31mb",
        "a\u202egnp.csv",  # turns the direction of writing
        "x" * 201,
    ],
)
def test_bad_templates_are_refused(template: Any):
    with pytest.raises(Invalid) as refusal:
        accept(template, has_window=True)

    assert refusal.value.field == "spec.file_name"


def test_a_window_key_needs_a_window():
    assert accept("{scheduled_for}.csv", has_window=False) == "{scheduled_for}.csv"
    with pytest.raises(Invalid):
        accept("{window_start}.csv", has_window=False)
    with pytest.raises(Invalid):
        render("{window_start}.csv", **{**SLOT, "window_start": None})


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("a/b:c", "a_b_c.csv"),
        ("../../etc/passwd", "_.._etc_passwd.csv"),
        ("..", "01JOB.csv"),
        ("", "01JOB.csv"),
        ("con", "_con.csv"),
        ("COM1", "_COM1.csv"),
        ("LPT1.report", "_LPT1.report.csv"),
        ("trailing. . ", "trailing.csv"),
        ("line\nbreak\x7f", "line_break_.csv"),
        ("航班日报", "航班日报.csv"),
        ("e\u0301te\u0301", "été.csv"),  # NFC
    ],
)
def test_any_task_name_becomes_safe(task: str, name: str):
    assert render("{task}", **{**SLOT, "task": task}, extension="csv") == name


def test_an_extension_is_added_once():
    assert render("{task}.csv.gz", **SLOT, extension=".csv.gz") == "Daily flights.csv.gz"
    assert render("{task}.CSV", **SLOT, extension=".csv") == "Daily flights.CSV"
    assert render("{task}", **SLOT, extension=".csv.gz") == "Daily flights.csv.gz"


def test_long_names_are_cut_before_the_extension():
    for name in (safe("航" * 300 + ".csv.gz"), safe("航" * 300, extension=".csv.gz"), safe("x" * 300 + ".csv.gz")):
        assert name.endswith(".csv.gz")
        assert 190 < len(name.encode()) <= 200


@given(st.text(max_size=300), st.sampled_from(["", ".csv", "xlsx", ".csv.gz"]))
def test_no_text_makes_an_unsafe_name(text: str, extension: str):
    name = safe(text, extension=extension)

    assert 0 < len(name.encode()) <= 200
    assert name == unicodedata.normalize("NFC", name)
    assert not set('<>:"/\\|?*') & set(name)
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in name)
    assert name[-1] not in ". "
    assert name not in (".", "..")
    assert name.endswith(extension) or name.lower().endswith(extension.lower())
    assert name.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
    assert safe(name, extension=extension) == name
