"""What lists read: items that DynamoDB looked at, by what they were read for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from chalicelib.store.base import client
from chalicelib.store.job_record import JobRecord


@dataclass
class Reads:
    # Index entries evaluated to find the page, whether they matched or not.
    entries: int = 0
    # Rows of the page, read from the table.
    rows: int = 0
    # Index entries evaluated only to count the total.
    counted: int = 0
    # Rows of the registry of names.
    names: int = 0
    # Items that each query looked at, and whether it counted only.
    queries: list[tuple[int, bool]] = field(default_factory=list)

    @property
    def of_page(self) -> int:
        return self.entries + self.rows

    def remember(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def queried(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        asked, scanned = context["asked"], parsed["ScannedCount"]
        counting = asked.get("Select") == "COUNT"
        if asked["TableName"] != JobRecord.Meta.table_name:
            self.names += scanned
            return
        self.queries.append((scanned, counting))
        if counting:
            self.counted += scanned
        else:
            self.entries += scanned

    def got(self, parsed: dict[str, Any], **_: Any) -> None:
        self.rows += sum(len(found) for found in parsed["Responses"].values())


@contextmanager
def reads() -> Iterator[Reads]:
    """Counts while it lasts."""
    found, events = Reads(), client().meta.events
    hooks = {
        "before-parameter-build.dynamodb.Query": found.remember,
        "after-call.dynamodb.Query": found.queried,
        "after-call.dynamodb.BatchGetItem": found.got,
    }
    for name, hook in hooks.items():
        events.register(name, hook)
    yield found
    for name, hook in hooks.items():
        events.unregister(name, hook)
