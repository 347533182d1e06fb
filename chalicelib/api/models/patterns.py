"""The patterns of text fields, and for each the message about text that does not match it."""

from __future__ import annotations

import unicodedata

ID = r"^[A-Za-z0-9_-]{1,64}$"
PARAMETER_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
DATE = r"^\d{4}-\d{2}-\d{2}$"
NO_NUL = r"^[^\x00]+$"

WORDS = {
    ID: "1 to 64 letters, digits, - and _ are allowed.",
    PARAMETER_NAME: "A letter or _ first, then letters, digits and _ are allowed, 63 in all.",
    NO_NUL: "A NUL character is not allowed.",
    DATE: "A date like 2013-01-31 is needed.",
}

# Unicode's general categories of what shows nothing: control, format, surrogate, line and paragraph separators.
_INVISIBLE = frozenset(["Cc", "Cf", "Cs", "Zl", "Zp"])
# Letters that are shown as nothing too: the fillers of Hangul, an empty Braille cell, inherent vowels of Khmer.
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0\u17b4\u17b5")
# Persian and Indic words and many emoji need these two between their letters.
_JOINERS = frozenset("\u200c\u200d")


def visible(text: str) -> str:
    """The text, or ValueError when it has invisible characters: a name with them looks like another name."""
    for at, character in enumerate(text):
        if character in _JOINERS and _joins(text, at):
            continue
        if unicodedata.category(character) in _INVISIBLE or character in _FILLERS:
            raise ValueError(
                f"invisible characters are not allowed, such as U+{ord(character):04X} at position {at + 1}"
            )
    return text


def _joins(text: str, at: int) -> bool:
    """Whether the joiner at this position stands between two characters of a writing that has a use for it."""
    around = text[at - 1 : at] + text[at + 1 : at + 2]
    return len(around) == 2 and not any(each.isascii() or each in _JOINERS for each in around)
