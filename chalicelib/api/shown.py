"""Records as people see them: with values that are not columns of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.paging import Page
from chalicelib.store.catalogue import source_names


@dataclass(frozen=True)
class Shown:
    """A record, and what an answer says in the place of its columns or besides them."""

    record: Any
    said: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.said[name] if name in self.said else getattr(self.record, name)


def with_source_names(records: Iterable[Any]) -> list[Shown]:
    """Records that have a `source_id`, each with its `source_name`; None for a source that is gone."""
    found = list(records)
    names = source_names(record.source_id for record in found)
    return [Shown(record, {"source_name": names.get(str(record.source_id))}) for record in found]


def page_with_source_names(page: Page) -> Page:
    return replace(page, items=with_source_names(page.items))
