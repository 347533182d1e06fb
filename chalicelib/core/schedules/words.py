"""Schedules and windows in words, told from their canonical form: they say what will happen, not what was typed.

Libraries that read cron text misstate `5-5`, or `*/5` beside a weekday; these words know how days of the month and
weekdays combine, because they ask the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from chalicelib.core.moments import zone
from chalicelib.core.schedules import form, window_form, words_en, words_zh
from chalicelib.errors import Invalid

_LANGUAGES = {"en": words_en, "zh": words_zh}
LANGUAGES = tuple(_LANGUAGES)


def describe(schedule: Mapping[str, Any], language: str) -> str:
    """One sentence: when it fires, in which zone and range, and what is not as by default."""
    text: str = _language(language).schedule(form.normalise(schedule))
    return text


def describe_window(window: Mapping[str, Any], language: str, *, timezone: str = "UTC") -> str:
    """One sentence: the data a slot covers."""
    text: str = _language(language).window(window_form.normalise(window, zone(timezone)))
    return text


def _language(language: str) -> ModuleType:
    if language not in _LANGUAGES:
        raise Invalid(f"One of {', '.join(LANGUAGES)} is needed.", field="language")
    return _LANGUAGES[language]
