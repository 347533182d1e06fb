"""What the jobs of the model do when they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib.core.lifecycle import Reason
from chalicelib.errors import ConnectionDropped, PreconditionMissing
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.settings import settings
from chalicelib.storage.layout import file_key
from tests.faults.crash import Crash
from tests.model.aws import Aws
from tests.model.processes import current

# `playing` fills it: one set of tables for all sequences, emptied between them.
AWS: list[Aws] = []


def succeed(context: RunContext) -> Outcome:
    return Outcome(rows=1, summary="done")


def leave_a_file(context: RunContext) -> Outcome:
    facts = context.facts
    key = file_key(facts.kind, facts.job_id, facts.run_no, 1, "data.csv")
    AWS[0].bucket.put_object(settings().bucket, key, b"1")
    context.check()
    return Outcome(rows=1, files=[{"key": key, "file_name": "data.csv"}], summary="done")


def drop_the_connection(context: RunContext) -> Outcome:
    leave_a_file(context)
    raise ConnectionDropped


def meet_a_bug(context: RunContext) -> Outcome:
    leave_a_file(context)
    raise KeyError("an unexpected error")


def miss_the_source(context: RunContext) -> Outcome:
    raise PreconditionMissing("There is no source.", reason=Reason.NO_SOURCE)


def die(context: RunContext) -> Outcome:
    leave_a_file(context)
    raise Crash


WORK: dict[str, Callable[[RunContext], Outcome]] = {
    "succeed": succeed,
    "leave a file": leave_a_file,
    "drop the connection": drop_the_connection,
    "meet a bug": meet_a_bug,
    "miss the source": miss_the_source,
    "die": die,
}


def behave(context: Any) -> Outcome:
    """What the probe does: it checks whether to stop, then does what the rule that started its worker says."""
    process = current()
    does = WORK["succeed" if process is None else process.does]
    context.check_for_stop()
    context.check()
    return does(context)
