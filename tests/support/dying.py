"""A process that dies, for tests: no `except Exception` of the code under test catches it."""

from __future__ import annotations

from typing import Any


class Died(BaseException):
    """The process is gone."""


def dies(*_: Any, **__: Any) -> Any:
    """Stands in for any function: the process dies at its call."""
    raise Died
