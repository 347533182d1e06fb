"""Jobs of the probe kind: started by hand, and failing on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib.errors import ConnectionDropped
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.store import logs as log_store
from chalicelib.store.job_record import JobRecord
from tests.support.simulator import PROBE, Stage

# A task's retries; each try comes a minute after the one before.
RETRY = {"max_attempts": 3, "delay_seconds": 60}
# The delays grow.
RETRY_SLOWER = RETRY | {"backoff": "exponential"}


def started(stage: Stage, **changes: Any) -> JobRecord:
    """The waiting job of a new task that runs now; `changes` override the task's fields."""
    task = stage.task(**({"schedule": {"type": "now"}} | changes))
    return next(job for job in stage.jobs() if job.task_id == task.task_id)


def raising(error: Exception) -> Callable[[RunContext], Outcome]:
    """A behaviour for PROBE: every run fails with this error."""

    def behaviour(context: RunContext) -> Outcome:
        raise error

    return behaviour


def messages_of(job: JobRecord, *, alerts: bool = False) -> list[str]:
    """What the log of the job's last run says."""
    return [line.message for line in log_store.read(job.job_id, int(job.run_no), alerts=alerts)]


def failing_until(number: int) -> None:
    """Every run of the probe before this one fails. Each run records a definition."""

    def behaviour(context: RunContext) -> Outcome:
        context.define({"run": context.facts.run_no})
        if context.facts.run_no < number:
            raise ConnectionDropped(f"drop {context.facts.run_no}")
        return Outcome(rows=1)

    PROBE.behaviour = behaviour
