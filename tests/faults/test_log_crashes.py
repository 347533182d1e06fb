"""Logs, with the process dying after every write: of a worker whose run fails and is tried again, of the sweep that
ends what the worker left, of a worker that comes back late.

At the end each run that ended has an archive of all its lines in order, none of them twice, so that the table is not
needed any more. The bucket holds nothing else of the logs.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib.core.lifecycle import RUN_ENDED, Reason
from chalicelib.errors import ConnectionDropped
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.logs import reader as log_reader
from chalicelib.store import logs as log_store
from tests.faults.conftest import POINTS
from tests.faults.crash import Rig, rigged, surviving
from tests.faults.test_crash_matrix import ONE_SLOT, RETRY, enable_quietly, until_quiet
from tests.support.simulator import PROBE, Stage, a_stage
from tests.support.world import a_world

LINES = 7
WRITES = frozenset(
    f"after {call}" for call in ("dynamodb.PutItem", "dynamodb.UpdateItem", "s3.PutObject", "s3.DeleteObject")
)

Scenario = Callable[[Stage, Rig], None]


def talk(context: RunContext, *, attempt: int) -> None:
    for number in range(LINES):
        context.log("WARN" if number == 3 else "INFO", f"attempt {attempt} line {number}")
        if number % 3 == 2:
            context.run_log.flush()  # type: ignore[attr-defined]


def tried_again(stage: Stage, rig: Rig) -> None:
    """Each attempt logs; the first one fails."""

    def behaviour(context: RunContext) -> Outcome:
        talk(context, attempt=context.facts.run_no)
        if context.facts.run_no == 1:
            raise ConnectionDropped
        return Outcome(rows=1)

    PROBE.behaviour = behaviour
    play_slot(stage, rig)


def late(stage: Stage, rig: Rig) -> None:
    """The worker logs on after `sweep` has ended its run as lost."""

    def behaviour(context: RunContext) -> Outcome:
        talk(context, attempt=context.facts.run_no)
        if len(PROBE.runs) == 1:
            stage.world.forward(seconds=2_000)
            surviving(rig, stage.sweep)
            talk(context, attempt=context.facts.run_no)
        return Outcome(rows=1)

    PROBE.behaviour = behaviour
    play_slot(stage, rig)


def play_slot(stage: Stage, rig: Rig) -> None:
    stage.task(schedule=ONE_SLOT, retry=RETRY, enabled=False)
    enable_quietly(stage)
    with rigged(rig):
        until_quiet(stage, rig)


def check(stage: Stage) -> None:
    ended = [run for run in stage.runs() if run.status in RUN_ENDED]
    (job,) = stage.jobs()
    assert [run.run_no for run in ended] == list(range(1, int(job.run_no) + 1))
    kept = {run.run_no: pages(run.job_id, int(run.run_no)) for run in ended}
    for run in ended:
        log_store.remove(run.job_id, int(run.run_no))
        found = pages(run.job_id, int(run.run_no))
        if run.reason == Reason.WORKER_LOST:
            # What a worker logs after its run was ended is archived at the worker's own end, if it lives until then.
            assert "sweep" in {line["type"] for line in found}
            assert found == kept[run.run_no][: len(found)]
        else:
            assert found == kept[run.run_no], "the archive alone holds all lines"
        assert [line["sequence"] for line in found] == list(range(1, len(found) + 1))
        assert len({line["message"] for line in found if line["type"] != "run"}) == sum(
            1 for line in found if line["type"] != "run"
        ), "no line of the sweep twice"
        alerts = pages(run.job_id, int(run.run_no), "alert")
        among = [line for line in found if line["level"] in ("WARN", "ERROR")]
        # The alerts are archived first: a worker that comes late and dies between the two has told of one more there.
        assert alerts[: len(among)] == among
        assert run.reason == Reason.WORKER_LOST or alerts == among
        said = [line["message"] for line in found if " line " in line["message"]]
        whole = [f"attempt {int(run.run_no)} line {number}" for number in range(LINES)]
        twice = whole + whole
        assert said == twice[: len(said)], "what a worker logged before it died, in order"
        if run.reason is None:
            assert said in (whole, twice), "a run that came to its end has all its lines"
    objects = {key for key in stage.world.objects() if key.startswith("logs/")}
    folder = f"logs/probe/{job.job_id}/"
    allowed = {f"{folder}{int(run.run_no)}{ending}" for run in ended for ending in (".jsonl.gz", "-alerts.jsonl.gz")}
    assert objects <= allowed
    assert {f"{folder}{int(run.run_no)}.jsonl.gz" for run in ended} <= objects


def pages(job_id: str, run_no: int, level: str = "all") -> list[dict[str, object]]:
    found, cursor = log_reader.read_page(job_id, run=run_no, level=level, limit=1_000)
    assert cursor is None
    return found


def worth_dying(moments: list[str]) -> list[int]:
    """After each write, from the claim of the first run to the end of its log; a read leaves nothing to find.

    To die before a call leaves what dying after the one before it does. Firing and claiming are the other matrix's.
    """
    claimed = moments.index("after dynamodb.UpdateItem", moments.index("after sqs.SendMessageBatch"))
    archived = [at for at, moment in enumerate(moments) if moment == "after s3.PutObject"]
    return [at + 1 for at, moment in enumerate(moments) if claimed <= at <= archived[-3] + 4 and moment in WRITES]


SCENARIOS: dict[str, Scenario] = {"tried again": tried_again, "late": late}


def play(scenario: Scenario, monkeypatch: pytest.MonkeyPatch, at: int | None) -> Rig:
    from chalicelib.aws.clients import client

    with a_world() as world:
        stage = a_stage(world, monkeypatch)
        rig = Rig(at)
        try:
            scenario(stage, rig)
            check(stage)
        except AssertionError as error:
            where = "undisturbed" if at is None else f"crash {at}: {rig.moments[at - 1]}"
            raise AssertionError(f"{where}: {error}") from error
        finally:
            client("sqs").meta.events.unregister("before-parameter-build.sqs.SendMessageBatch", unique_id="tests-delay")
    return rig


@pytest.mark.parametrize("name", SCENARIOS)
def test_dying_at_any_call_loses_no_line_of_a_log(
    name: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    for constant in ("store.tasks.DUE_SHARDS", "store.jobs.LEASE_SHARDS", "maintenance.sweep.LEASE_SHARDS"):
        monkeypatch.setattr(f"chalicelib.{constant}", 1)
    undisturbed = play(SCENARIOS[name], monkeypatch, None)
    points = worth_dying(undisturbed.moments)
    for point in points:
        play(SCENARIOS[name], monkeypatch, point)
    record_property(f"{POINTS} of logs, {name}", len(points))
