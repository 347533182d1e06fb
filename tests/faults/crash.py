"""Let a process die before or after any single call to AWS, and go on with what it left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from chalicelib.aws.clients import client
from chalicelib.core.lifecycle import ENDED
from chalicelib.store.base import client as dynamodb

SERVICES = ("sqs", "s3", "secretsmanager", "events")
# Calls of the test itself, which reads the tables, and of AWS, which takes messages to the workers.
NOT_OURS = frozenset({"Scan", "ReceiveMessage", "DeleteMessage"})


class Crash(BaseException):
    """The process has died: no code catches this, and no call gets through after it."""


@dataclass
class Rig:
    """Counts the moments before and after each call; the process dies at the moment with the number `at`."""

    at: int | None = None
    moments: list[str] = field(default_factory=list)
    dead: bool = False
    # Writes to the jobs table that left a job ended, as (job id, status).
    endings: list[tuple[str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def before(self, model: Any, **_: Any) -> None:
        if model.name not in NOT_OURS:
            self._moment(f"before {model.service_model.service_name}.{model.name}")

    def after(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        self._note_ending(model, parsed)
        if model.name not in NOT_OURS:
            self._moment(f"after {model.service_model.service_name}.{model.name}")

    def _note_ending(self, model: Any, parsed: dict[str, Any]) -> None:
        left = parsed.get("Attributes", {}) if model.name == "UpdateItem" else {}
        if "scheduled_for" in left and left["status"]["S"] in ENDED:
            with self._lock:
                self.endings.append((left["job_id"]["S"], left["status"]["S"]))

    def _moment(self, name: str) -> None:
        with self._lock:
            if self.dead:
                raise Crash("dead already")
            self.moments.append(name)
            if self.at is not None and len(self.moments) == self.at:
                self.dead = True
                raise Crash(name)

    def revive(self) -> None:
        """A new process; it does not die again."""
        self.at, self.dead = None, False


def as_bytes(params: dict[str, Any], **_: Any) -> None:
    """moto in one process takes bytes only, where S3 takes any buffer or file."""
    body = params.get("Body")
    if body is not None and not isinstance(body, bytes):
        params["Body"] = body.read() if hasattr(body, "read") else bytes(body)


@contextmanager
def rigged(rig: Rig) -> Iterator[None]:
    """Send every call of the product's clients through the rig."""
    clients = [dynamodb(), *(client(service) for service in SERVICES)]
    for each in clients:
        each.meta.events.register("before-call", rig.before, unique_id="crash-before")
        each.meta.events.register("after-call", rig.after, unique_id="crash-after")
    client("s3").meta.events.register("before-parameter-build.s3", as_bytes, unique_id="crash-bytes")
    try:
        yield
    finally:
        client("s3").meta.events.unregister("before-parameter-build.s3", unique_id="crash-bytes")
        for each in clients:
            each.meta.events.unregister("before-call", unique_id="crash-before")
            each.meta.events.unregister("after-call", unique_id="crash-after")


def surviving(rig: Rig, step: Callable[[], Any]) -> bool:
    """Run one process; False when it died."""
    try:
        step()
    except Crash:
        rig.revive()
        return False
    return True
