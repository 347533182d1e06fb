"""The patterns of text fields, and for each the message about text that does not match it."""

from __future__ import annotations

import re

ID = r"^[A-Za-z0-9_-]{1,64}$"
PARAMETER_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
DATE = r"^\d{4}-\d{2}-\d{2}$"

WORDS = {
    ID: "1 to 64 letters, digits, - and _ are allowed.",
    PARAMETER_NAME: "A letter or _ first, then letters, digits and _ are allowed, 63 in all.",
    DATE: "A date like 2013-01-31 is needed.",
}

# Control characters, line separators and characters that turn the writing direction: names with them look like others.
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The text, or ValueError when it has invisible characters."""
    if _INVISIBLE.search(text):
        raise ValueError("control characters, and those that turn the direction of writing, are not allowed")
    return text
