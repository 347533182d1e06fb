"""The shapes of text fields, and what is said of a text that has another: nobody should have to read a pattern."""

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

# Control characters and line separators, and what turns the direction of writing: a name must look like what it is.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def seen(text: str) -> str:
    """The text, or ValueError when it holds what nobody sees."""
    if _UNSEEN.search(text):
        raise ValueError("control characters, and those that turn the direction of writing, are not allowed")
    return text
