"""The overlap policy, decided when a slot has come."""

from __future__ import annotations

import pytest

from chalicelib.core.lifecycle import JobStatus, Reason
from chalicelib.kinds.protocol import Outcome, RunContext
from tests.support.simulator import PROBE, Stage


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("skip", ["succeeded", "skipped", "skipped", "succeeded"]),
        ("allow_all", ["succeeded", "succeeded", "succeeded", "succeeded"]),
        ("buffer_one", ["succeeded", "succeeded", "skipped", "succeeded"]),
        ("buffer_all", ["succeeded", "succeeded", "succeeded", "succeeded"]),
    ],
)
def test_overlap_is_decided_when_the_slot_has_come(stage: Stage, overlap: str, expected: list[str]) -> None:
    def first_takes_long(context: RunContext) -> Outcome:
        """The first job is still running while the next two slots come."""
        PROBE.behaviour = lambda _: Outcome()
        for _ in range(2):
            stage.world.forward(seconds=60)
            stage.tick()
            stage.deliver()
        return Outcome()

    PROBE.behaviour = first_takes_long
    stage.task(overlap=overlap)
    stage.tick()
    stage.world.forward(seconds=60)
    stage.deliver(limit=1)
    stage.minutes(3)
    assert [job.status.value for job in stage.jobs()][:4] == expected
    assert sum(1 for job_id in PROBE.runs) == len(set(PROBE.runs))


def test_cancel_other_stops_the_earlier_job_and_then_starts(stage: Stage) -> None:
    def obeys(context: RunContext) -> Outcome:
        PROBE.behaviour = lambda _: Outcome()
        stage.world.forward(seconds=60)
        stage.tick()
        stage.deliver()
        context.check_for_stop()  # type: ignore[attr-defined]
        context.check()
        raise AssertionError("went on")

    PROBE.behaviour = obeys
    stage.task(overlap="cancel_other")
    stage.tick()
    stage.world.forward(seconds=60)
    stage.deliver(limit=1)
    stage.minutes(2)
    first, second, *_ = stage.jobs()
    assert (first.status, first.reason) == (JobStatus.CANCELED, Reason.BY_POLICY)
    assert second.status == JobStatus.SUCCEEDED
    assert second.started_at >= first.ended_at
