"""Takes out of a database's message what it quotes of the data: people who may read a job may not read its rows."""

from __future__ import annotations

MASK = "***"
# What databases quote with, in the languages that they speak.
QUOTES = '"«»„“”‟「」『』'


def masked(text: str, quotes: str = QUOTES) -> str:
    """The text with one mask from its first quote to its last: a value may contain quotes too, so no pair can be told.

    A single quote masks all that follows. So do bytes that are written as numbers (`0xe4 0xb8`).
    """
    at = [place for place, character in enumerate(text) if character in quotes]
    if at:
        rest = text[at[-1] + 1 :] if len(at) > 1 else ""
        text = f"{text[: at[0]]}{MASK}{rest}"
    words = text.split(" ")
    return " ".join(MASK if word.startswith("0x") else word for word in words)


def masked_details(text: str) -> str:
    """The same for a message's details, which list values in parentheses too: `Key (name)=(…) …`."""
    begin, end = text.find("("), text.rfind(")")
    if begin >= 0:
        text = f"{text[:begin]}({MASK}){text[end + 1 :] if end > begin else ''}"
    return masked(text)
