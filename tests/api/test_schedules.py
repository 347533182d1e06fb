from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from chalicelib.api.models import schedules as shown
from chalicelib.core.misfire import Misfire
from chalicelib.core.retry import Retry
from chalicelib.core.schedules.fires import accept_schedule
from chalicelib.core.schedules.window import accept_window
from chalicelib.core.schedules.window_form import ALIASES, TYPES
from tests.support.http import Http
from tests.support.world import START

NIGHTLY = {"type": "cron", "expression": "30 2 * * *", "timezone": "America/New_York"}
BEFORE_DST = "2026-03-07T12:00:00Z"


def test_a_preview_shows_fires_flags_windows_and_words(admin: Http) -> None:
    body = {"schedule": NIGHTLY, "window": {"type": "yesterday"}, "count": 2, "after": BEFORE_DST}
    found = admin.post("/schedules/preview", body).json
    assert found["fires"] == [
        {
            "at": "2026-03-08T07:00:00Z",
            "local": "2026-03-08T03:00:00-04:00",
            "flags": ["gap_shifted"],
            "window_start": "2026-03-07T05:00:00Z",
            "window_end": "2026-03-08T05:00:00Z",
        },
        {
            "at": "2026-03-09T06:30:00Z",
            "local": "2026-03-09T02:30:00-04:00",
            "flags": [],
            "window_start": "2026-03-08T05:00:00Z",  # 23 hours
            "window_end": "2026-03-09T04:00:00Z",
        },
    ]
    assert "02:30" in found["words"]["en"]
    assert "2:30" in found["words"]["zh"]
    assert found["schedule"] == NIGHTLY


def test_a_preview_changes_nothing_and_may_be_repeated(admin: Http) -> None:
    first, second = (admin.post("/schedules/preview", {"schedule": NIGHTLY}, key="k-1") for _ in range(2))
    assert first.json == second.json
    assert len(first.json["fires"]) == 5
    assert admin.post("/schedules/preview", {"schedule": NIGHTLY, "count": 1}, key="k-1").fields == ["Idempotency-Key"]


BAD_SCHEDULES: list[tuple[Any, str]] = [
    (None, "schedule"),
    ("daily", "schedule"),
    ({}, "schedule.type"),
    ({"type": "sometimes"}, "schedule.type"),
    (NIGHTLY | {"timezone": "Mars/Base"}, "schedule.timezone"),
    (NIGHTLY | {"expression": "60 2 * * *"}, "schedule.expression"),
    (NIGHTLY | {"expression": "30 2 * *"}, "schedule.expression"),  # four fields
    (NIGHTLY | {"expression": "0 0 30 2 *"}, "schedule.expression"),  # 30 February
    (NIGHTLY | {"expression": "x" * 300}, "schedule.expression"),
    (NIGHTLY | {"every": 5}, "schedule.every"),
    (NIGHTLY | {"start": "2026-02-01", "end": "2026-01-01"}, "schedule.end"),
    ({"type": "once", "at": "2020-01-01T00:00:00", "timezone": "UTC"}, "schedule.at"),  # past
    ({"type": "once", "at": "2037-03-08T02:30:00", "timezone": "America/New_York"}, "schedule.at"),  # in a gap
    ({"type": "once"}, "schedule.at"),
    ({"type": "interval", "every": 5, "unit": "second"}, "schedule.every"),  # closer than the minimum gap
    ({"type": "interval", "every": 0, "unit": "hour"}, "schedule.every"),
    ({"type": "calendar", "every": 1, "unit": "day", "at": "25:00"}, "schedule.at"),
    ({"type": "calendar", "every": 1, "unit": "day", "at": "02:00", "weekdays": ["MON"]}, "schedule.weekdays"),
    (NIGHTLY | {"calendar": "no-such"}, "schedule.calendar"),
]


@pytest.mark.parametrize(("schedule", "field"), BAD_SCHEDULES, ids=str)
def test_an_invalid_schedule_is_refused_by_field(admin: Http, schedule: Any, field: str) -> None:
    reply = admin.post("/schedules/preview", {"schedule": schedule})
    assert (reply.status, reply.fields[:1]) == (422, [field]), reply.raw


@pytest.mark.parametrize(
    ("window", "field"),
    [
        ("yesterday", "window"),
        ({"type": "tomorrow"}, "window.type"),
        ({"type": "last", "unit": "fortnight"}, "window.unit"),
        ({"type": "last", "n": 0, "unit": "day"}, "window.n"),
        ({"type": "last_days", "n": 36_501}, "window.n"),
        ({"type": "fixed", "start": "2026-02-01", "end": "2026-01-01"}, "window.end"),
        ({"type": "yesterday", "n": 2}, "window.n"),
    ],
    ids=str,
)
def test_an_invalid_window_is_refused_by_field(admin: Http, window: Any, field: str) -> None:
    reply = admin.post("/schedules/preview", {"schedule": NIGHTLY, "window": window})
    assert (reply.status, reply.fields[:1]) == (422, [field]), reply.raw


WIDEST: list[dict[str, Any]] = [
    {"type": "last_days", "n": 36_500},
    {"type": "rolling", "n": 36_500, "unit": "day"},
    {"type": "custom", "start": {"trunc": "day", "offset": -36_500}, "end": {"trunc": "day", "offset": 36_500}},
]


@pytest.mark.parametrize("window", WIDEST, ids=str)
def test_the_widest_windows_fit_every_slot_that_there_can_be(admin: Http, window: Any) -> None:
    body = {"schedule": NIGHTLY | {"timezone": "UTC"}, "window": window, "count": 1}
    for after in ("1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2198-12-01T00:00:00Z"):
        [fire] = admin.post("/schedules/preview", body | {"after": after}).json["fires"]
        begin = datetime.fromisoformat(fire["window_start"])
        assert (datetime.fromisoformat(fire["at"]) - begin).days == 36_500
    for after in ("0001-01-01T00:00:00Z", "0099-01-01T00:00:00Z", "9999-12-31T00:00:00Z"):
        reply = admin.post("/schedules/preview", body | {"after": after})
        assert (reply.status, reply.fields) == (422, ["after"]), reply.raw


def test_a_task_that_runs_now_has_no_previous_fire(admin: Http) -> None:
    body = {"schedule": {"type": "now"}, "window": {"type": "since_previous_fire"}}
    assert admin.post("/schedules/preview", body).fields == ["window.type"]


@pytest.mark.parametrize("count", [0, 101, "5", 1.5, True])
def test_an_invalid_count_is_refused_by_field(admin: Http, count: Any) -> None:
    assert admin.post("/schedules/preview", {"schedule": NIGHTLY, "count": count}).fields == ["count"]


# --- the documentation says what is accepted --------------------------------------------------------------------------

SCHEDULES: list[dict[str, Any]] = [
    {"type": "now", "timezone": "UTC"},
    {"type": "once", "at": "2037-01-01T00:00:00", "timezone": "UTC", "fold": 0, "run_if_past": False},
    {"type": "interval", "every": 2, "unit": "hour", "start": "2026-01-01", "end": "2037-01-01", "jitter_seconds": 5},
    {"type": "interval", "every": 2, "unit": "hour", "anchor": "2026-01-01"},
    {"type": "calendar", "every": 1, "unit": "week", "at": "02:00", "weekdays": ["MON"], "week_start": "SUN"},
    {"type": "calendar", "every": 1, "unit": "month", "at": "02:00", "month_day": "last", "if_missing": "skip"},
    {"type": "calendar", "every": 1, "unit": "month", "at": "02:00", "month_day": 31, "anchor": "2026-01-01"},
    {"type": "cron", "expression": "@daily", "dst_policy": "literal", "on_non_business": "next", "calendar": "c"},
]
WINDOWS: list[dict[str, Any]] = [
    {"type": "yesterday", "allow_empty": True},
    {"type": "last", "n": 2, "unit": "hour"},
    {"type": "rolling", "n": 2, "unit": "week"},
    {"type": "previous", "n": 1, "unit": "week", "week_start": "SUN"},
    {"type": "to_date", "unit": "quarter", "until": "to_now"},
    {"type": "since_previous_fire"},
    {"type": "custom", "start": {"trunc": "week", "offset": -1}, "end": {"trunc": "week"}, "week_start": "SUN"},
    {"type": "fixed", "start": "2026-01-01", "end": "2026-02-01T00:00:00Z"},
    *({"type": name} for name in ALIASES if name not in ("last_minute", "previous_week", "month_to_date")),
    {"type": "last_minute", "n": 5},
    {"type": "previous_week", "n": 2, "week_start": "SUN"},
    {"type": "month_to_date", "until": "to_now"},
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda item: str(item["type"]))
def test_a_documented_schedule_is_accepted(schedule: dict[str, Any]) -> None:
    TypeAdapter(shown.Schedule).validate_python(schedule)
    accept_schedule(schedule, now=START)


@pytest.mark.parametrize("window", WINDOWS, ids=lambda item: str(item["type"]))
def test_a_documented_window_is_accepted(window: dict[str, Any]) -> None:
    TypeAdapter(shown.Window).validate_python(window)
    accept_window(window, schedule_type="cron")


def test_every_short_name_of_a_window_is_documented() -> None:
    models = shown.Window.__origin__.__args__
    names = [name for model in models for name in model.model_fields["type"].annotation.__args__]
    assert sorted(names) == sorted([*TYPES, *ALIASES])


def test_every_documented_field_was_tried() -> None:
    assert _fields(shown.Schedule) == {(item["type"], name) for item in SCHEDULES for name in item} | {
        ("interval", "timezone"),
        ("calendar", "timezone"),
        ("cron", "timezone"),
        *((kind, name) for kind in ("calendar", "cron") for name in ("start", "end", "jitter_seconds")),
        *(("calendar", name) for name in ("dst_policy", "on_non_business", "calendar")),
    }
    documented = {(kind, name) for kind, name in _fields(shown.Window) if name != "allow_empty"}
    first_names = {kind for kind, _ in documented}
    assert documented == {
        (item["type"], name)
        for item in WINDOWS
        for name in item
        if name != "allow_empty" and item["type"] in first_names
    }


def _fields(union: Any) -> set[tuple[str, str]]:
    models: tuple[type[BaseModel], ...] = union.__origin__.__args__
    return {
        (model.model_fields["type"].annotation.__args__[0], name)  # type: ignore[union-attr]
        for model in models
        for name in model.model_fields
    }


def test_documented_policies_have_the_defaults_that_hold() -> None:
    misfire, retry = Misfire.accept(None), Retry.accept(None)
    for rules, held in ((shown.MisfireRules(), misfire), (shown.RetryRules(), retry)):
        assert rules.model_dump() == {name: getattr(held, name) for name in type(rules).model_fields}
