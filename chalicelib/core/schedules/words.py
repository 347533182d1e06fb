"""Schedules and windows in words, made from their canonical form: the words say what will happen.

Libraries that describe cron text misstate `5-5`, or `*/5` beside a weekday. These words are made from the parsed
expression, which knows how days of the month and weekdays combine.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from chalicelib.core.local_time import zone
from chalicelib.core.schedules import words_en, words_zh
from chalicelib.core.schedules.form import normalise_schedule
from chalicelib.core.schedules.window_form import normalise_window
from chalicelib.errors import Invalid

_LANGUAGES = {"en": words_en, "zh": words_zh}
LANGUAGES = tuple(_LANGUAGES)


def describe(schedule: Mapping[str, Any], language: str) -> str:
    """One sentence: when it fires, in which zone, from and until when, and each setting that is not the default."""
    text: str = _language(language).schedule(normalise_schedule(schedule))
    return text


def describe_window(window: Mapping[str, Any], language: str, *, timezone: str = "UTC") -> str:
    """One sentence: the data that a slot covers."""
    text: str = _language(language).window(normalise_window(window, zone(timezone)), timezone)
    return text


def _language(language: str) -> ModuleType:
    if language not in _LANGUAGES:
        raise Invalid(f"One of {', '.join(LANGUAGES)} is needed.", field="language")
    return _LANGUAGES[language]
