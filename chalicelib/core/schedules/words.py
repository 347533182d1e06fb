"""Schedules and windows in words, told from their canonical form: they say what will happen, not what was typed.

Libraries that read cron text misstate `5-5`, or `*/5` beside a weekday; these words know how days of the month and
weekdays combine, because they ask the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from chalicelib.core.moments import zone
from chalicelib.core.schedules import words_en, words_zh
from chalicelib.core.schedules.form import normalise_schedule
from chalicelib.core.schedules.window_form import normalise_window
from chalicelib.errors import Invalid

_LANGUAGES = {"en": words_en, "zh": words_zh}
LANGUAGES = tuple(_LANGUAGES)


def describe(schedule: Mapping[str, Any], language: str) -> str:
    """One sentence: when it fires, in which zone and range, and what is not as by default."""
    text: str = _language(language).schedule(normalise_schedule(schedule))
    return text


def describe_window(window: Mapping[str, Any], language: str, *, timezone: str = "UTC") -> str:
    """One sentence: the data a slot covers."""
    text: str = _language(language).window(normalise_window(window, zone(timezone)))
    return text


def _language(language: str) -> ModuleType:
    if language not in _LANGUAGES:
        raise Invalid(f"One of {', '.join(LANGUAGES)} is needed.", field="language")
    return _LANGUAGES[language]
