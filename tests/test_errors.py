"""The tree of errors at the head of `errors.py` is the tree of classes."""

from __future__ import annotations

import re

from chalicelib import errors
from chalicelib.errors import CarillonError

# A row of the tree: its lines and blanks, the first class, and what follows it.
ROW = re.compile(r"^    ([│ ]*)[├└]── ([A-Z]\w+)(.*)$", re.MULTILINE)


def drawn() -> dict[str, str]:
    """Class -> its parent, as the module's docstring draws them. A row may have several classes, joined by `·`."""
    found: dict[str, str] = {}
    above = ["CarillonError"]
    for lines, name, rest in ROW.findall(errors.__doc__ or ""):
        depth = len(lines) // 4
        above[depth + 1 :] = [name]
        found |= dict.fromkeys([name, *re.findall(r"· (\w+)", rest)], above[depth])
    return found


def of_code(parent: type[CarillonError] = CarillonError) -> dict[str, str]:
    found: dict[str, str] = {}
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            found |= {child.__name__: parent.__name__, **of_code(child)}
    return found


def test_the_drawn_tree_is_that_of_the_classes() -> None:
    assert drawn() == of_code()


def test_every_error_has_one_sentence_as_its_default_message() -> None:
    for name in ["CarillonError", *of_code()]:
        message = (
            getattr(errors, name)().message if name != "PreconditionMissing" else errors.PreconditionMissing.__doc__
        )
        assert re.fullmatch(r"[A-Z][^\n]+\.|[A-Z][^\n]+>", message), name
