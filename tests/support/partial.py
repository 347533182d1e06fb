"""Batch calls of which the service takes a part: the answer is a success that names what was refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

ALWAYS = 10_000


# Where the entries of a call stand.
ENTRIES: dict[str, Callable[[dict[str, Any]], list[Any]]] = {
    "DeleteObjects": lambda params: params["Delete"]["Objects"],
    "SendMessageBatch": itemgetter("Entries"),
    "PutTargets": itemgetter("Targets"),
    "RemoveTargets": itemgetter("Ids"),
    "BatchGetItem": lambda params: next(iter(params["RequestItems"].values()))["Keys"],
}


@dataclass
class Refuser:
    """Takes the last entry out of a call before it is made, and puts it among the failures of the answer."""

    operation: str
    times: int
    code: str = "InternalError"
    # The calls that were made, as the numbers of entries in them before one was taken out.
    calls: list[int] = field(default_factory=list)
    _taken: Any = None
    _table: str = ""

    def before(self, params: dict[str, Any], **_: Any) -> None:
        entries = ENTRIES[self.operation](params)
        self.calls.append(len(entries))
        self._taken = None
        if len(self.calls) <= self.times:
            self._taken = entries.pop()
            self._table = next(iter(params.get("RequestItems", {"": None})))

    def short(self, **_: Any) -> Any:
        """Nothing is left of a call of one entry: its answer needs no service."""
        return (_Answered(), {"Responses": {}}) if self._taken is not None and self.calls[-1] == 1 else None

    def after(self, parsed: dict[str, Any], **_: Any) -> None:
        self._fail(parsed)

    def _fail(self, parsed: dict[str, Any]) -> None:
        taken = self._taken
        if taken is None:
            return
        why = {"Code": self.code, "Message": "try again"}
        if self.operation == "DeleteObjects":
            parsed["Errors"] = [{"Key": taken["Key"], **why}]
        elif self.operation == "SendMessageBatch":
            parsed["Failed"] = [{"Id": taken["Id"], "SenderFault": False, **why}]
        elif self.operation == "BatchGetItem":
            parsed["UnprocessedKeys"] = {self._table: {"Keys": [taken]}}
        else:
            target = taken if isinstance(taken, str) else taken["Id"]
            failed = {"TargetId": target, "ErrorCode": self.code, "ErrorMessage": "try again"}
            parsed.update(FailedEntryCount=1, FailedEntries=[failed])


class _Answered:
    status_code = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - nothing writes it


@contextmanager
def refusing(client: Any, operation: str, *, times: int = ALWAYS, code: str = "InternalError") -> Iterator[Refuser]:
    """Have the service refuse one entry of each of the next `times` calls."""
    refuser, service = Refuser(operation, times, code), client.meta.service_model.service_name
    hooks = {"before-parameter-build": refuser.before, "before-call": refuser.short, "after-call": refuser.after}
    for event, hook in hooks.items():
        client.meta.events.register(f"{event}.{service}.{operation}", hook, unique_id=f"refuse-{event}-{operation}")
    try:
        yield refuser
    finally:
        for event in hooks:
            client.meta.events.unregister(f"{event}.{service}.{operation}", unique_id=f"refuse-{event}-{operation}")
