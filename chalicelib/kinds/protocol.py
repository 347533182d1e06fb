"""What the rest of the product knows of a kind, and what a kind may use of its run.

A kind never touches job, run or log tables: it reads `RunContext`, and returns an `Outcome` or raises a `RunError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from chalicelib.core.bounds import json_bytes
from chalicelib.core.record_bounds import MANIFESTS_BYTES

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class JobFacts:
    """What was frozen when the job was made: the same for all of its runs. Instants are aware, in UTC."""

    job_id: str
    run_no: int
    kind: str
    task_id: str
    task_name: str
    spec: Mapping[str, Any]
    parameters: Mapping[str, Any]
    scheduled_for: datetime
    window_start: datetime | None
    window_end: datetime | None
    timezone: str
    statement_timeout_seconds: int | None = None
    # What the kind's `target` said when the job was made.
    source_id: str | None = None


class RunContext(Protocol):
    """A run's view of the world while it executes."""

    facts: JobFacts

    def log(self, level: str, message: str, *, type: str = "run", picture: str | None = None) -> None:
        """Add one log line; level is DEBUG, INFO, WARN or ERROR. Never a secret or a row of data.

        `picture` is the key of an object that shows what the line is about.
        """

    def define(self, definition: Mapping[str, Any]) -> None:
        """Record what this run is about to run: a JSON document for people, shaped as `Kind.definition`."""

    def progress(self, *, rows: int | None = None, bytes: int | None = None) -> None:
        """Tell how far the run is. Cheap: call it for each block."""

    def on_stop(self, interrupt: Callable[[], None] | None) -> None:
        """Name what interrupts the work in progress, e.g. cancels the statement. Another thread calls it, at most once;
        it returns at once, and the work ends within five seconds.

        None takes it back. When the run was already asked to stop, `interrupt` is called at once.
        """

    def check(self) -> None:
        """Raise `Stopped` when the run was asked to stop. Call between pieces of work, at least every 2 s."""


@dataclass(frozen=True)
class Outcome:
    """What a successful run leaves. `files` are manifests (exports/manifest.py) as plain mappings.

    `manifest` says where the run wrote them: the object's `key`, its `sha256` and its `bytes`. `ValueError` without it
    where the manifests are longer than MANIFESTS_BYTES.
    """

    files: list[dict[str, Any]] = field(default_factory=list)
    rows: int | None = None
    bytes: int | None = None
    summary: str = ""
    manifest: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.manifest is None and not self._are_small:
            raise ValueError(f"manifests of more than {MANIFESTS_BYTES} bytes must be written to the bucket")

    @property
    def held(self) -> list[dict[str, Any]] | dict[str, Any]:
        """What the records hold in `files`: the manifests, or where they lie (storage/manifests.py)."""
        if self.manifest is None or self._are_small:
            return self.files
        return {
            "manifest": self.manifest["key"],
            "sha256": self.manifest["sha256"],
            "bytes": self.manifest["bytes"],
            "count": len(self.files),
            "started_at": self.files[0]["started_at"],
        }

    @property
    def _are_small(self) -> bool:
        return json_bytes(self.files) <= MANIFESTS_BYTES


@dataclass(frozen=True)
class Target:
    """What a task's jobs work on: the columns that lists filter by."""

    source_id: str | None = None
    account_id: str | None = None
    action: str | None = None


class Kind(Protocol):
    """One kind of task: a folder of `kinds/`, and a row in `kinds/registry.py`."""

    # What a task of this kind says in `spec`; the API documents it.
    Spec: ClassVar[type[BaseModel]]
    # The reasons of the `PreconditionMissing` that `run` may raise, each of the form `no_<thing>`.
    preconditions: ClassVar[frozenset[str]]
    # What `definition` holds, in words that end "for a <kind> …".
    definition_holds: ClassVar[str]

    def check_spec(self, spec: Mapping[str, Any], *, has_window: bool, timezone: str) -> dict[str, Any]:
        """The canonical spec. Raises `Invalid` that names each wrong field, such as `spec.report_id`."""

    def target(self, spec: Mapping[str, Any]) -> Target:
        """What the jobs of a canonical spec work on."""

    def check_parameters(
        self,
        spec: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        has_window: bool,
        complete: bool,
        candidate: Mapping[str, Any] | None = None,
    ) -> None:
        """Raise `Invalid` for what would fail every run: a wrong value (`parameters.<name>`, `spec.parameters.<name>`),
        or a missing `window` that the work needs. `parameters` are those of the task and of a start by hand. With
        `complete`, a missing one is wrong too. `candidate` stands for the report that the spec names, edited but not
        saved yet.
        """

    def definition(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """What a job of a canonical spec would run now, for people to read: a JSON document without secrets. Empty when
        what it needs does not exist. A run's own is cut to `DEFINITION_BYTES` (core/record_bounds.py).
        """

    def run(self, context: RunContext) -> Outcome:
        """Do the work. Raise a `RunError` to fail with a reason a person can act on."""
