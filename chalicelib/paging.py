"""One page of a list, and the sizes that a page may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.errors import Invalid

PAGE_SIZES = (10, 20, 50, 100)
DEFAULT_PAGE_SIZE = 20
# Counting stops here: beyond it `total` is a lower bound.
TOTAL_LIMIT = 10_000


@dataclass(frozen=True)
class Page:
    items: Sequence[Any]
    page: int
    page_size: int
    total: int
    total_is_lower_bound: bool = False

    @property
    def pages(self) -> int:
        return -(-self.total // self.page_size)


def check(page: int, page_size: int) -> None:
    if page_size not in PAGE_SIZES:
        raise Invalid(f"page_size must be one of {', '.join(map(str, PAGE_SIZES))}.", field="page_size")
    if page < 1:
        raise Invalid("page starts at 1.", field="page")


def cut(items: Sequence[Any], *, page: int, page_size: int) -> Page:
    """One page of a list that is in memory."""
    check(page, page_size)
    start = (page - 1) * page_size
    return Page(items=items[start : start + page_size], page=page, page_size=page_size, total=len(items))
