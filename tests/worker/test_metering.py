"""What a run costs, and a job with all its runs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from chalicelib.core.prices import Units, price
from chalicelib.jobs import actions
from chalicelib.jobs import detail as job_detail
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.store.base import client as dynamodb
from chalicelib.worker import metering
from tests.support.probe import RETRY, failing_until, started
from tests.support.simulator import OPERATOR, PROBE, Stage


@pytest.fixture
def memory(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metering.MEMORY_MB, "1769")


@pytest.mark.usefixtures("memory")
def test_a_run_costs_its_time_from_message_to_end_in_the_memory_of_its_function(stage: Stage) -> None:
    def takes_a_while(context: RunContext) -> Outcome:
        stage.world.forward(seconds=2.0004)
        return Outcome(bytes=1_000)

    PROBE.behaviour = takes_a_while
    job = started(stage)
    stage.deliver()
    found = job_detail.whole_record(job_detail.get(job.job_id))["cost"]
    # Lambda bills whole milliseconds.
    assert found["lambda_gb_seconds"] == round(2.001 * 1769 / 1024, 6)
    assert (found["lambda_requests"], found["runs"]) == (1, 1)
    assert (found["s3_bytes"], found["s3_byte_days"]) == (1_000, 90_000)


def test_a_run_outside_of_lambda_costs_no_lambda(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    found = job_detail.whole_record(job_detail.get(job.job_id))["cost"]
    assert (found["lambda_requests"], found["lambda_gb_seconds"]) == (0, 0)


def test_the_units_of_a_run_are_those_that_dynamodb_reported_until_its_end(stage: Stage) -> None:
    reported: list[tuple[str, Any]] = []

    def note(model: Any, parsed: Any, **_: Any) -> None:
        reported.append((model.name, parsed))

    job = started(stage)
    dynamodb().meta.events.register("after-call", note, unique_id="test-units")
    stage.deliver()
    dynamodb().meta.events.unregister("after-call", unique_id="test-units")
    end = next(number for number, (_, parsed) in enumerate(reported) if "summary" in parsed.get("Attributes", {}))
    units = [(name, parsed["ConsumedCapacity"]) for name, parsed in reported[:end]]
    assert len(units) > 5
    flat = [(name, each["CapacityUnits"]) for name, all_ in units for each in (all_ if type(all_) is list else [all_])]
    reads = sum(amount for name, amount in flat if name in ("GetItem", "Query", "BatchGetItem"))
    found = job_detail.whole_record(job_detail.get(job.job_id))["cost"]
    assert found["dynamodb_read_units"] == reads
    assert found["dynamodb_write_units"] == sum(amount for _, amount in flat) - reads


@pytest.mark.usefixtures("memory")
def test_a_job_costs_the_sum_of_its_runs_also_after_a_rerun(stage: Stage) -> None:
    failing_until(3)
    job = started(stage, retry=RETRY | {"max_attempts": 2})
    stage.minutes(2)
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    found = job_detail.whole_record(job_detail.get(job.job_id))
    costs = [run.cost for run in found["runs"]]
    assert len(costs) == found["cost"]["runs"] == 3
    for name in ("lambda_requests", "dynamodb_read_units", "dynamodb_write_units"):
        assert found["cost"][name] == sum(each[name] for each in costs) > 0
    assert Decimal(found["cost"]["usd"]) == price(Units.read(found["cost"]))


def test_a_run_whose_worker_was_lost_has_no_cost(stage: Stage) -> None:
    def dies(context: RunContext) -> Outcome:
        if context.facts.run_no == 1:
            raise KeyboardInterrupt
        return Outcome()

    PROBE.behaviour = dies
    job = started(stage, retry=RETRY)
    with pytest.raises(KeyboardInterrupt):
        stage.deliver()
    stage.messages.clear()
    stage.world.forward(seconds=2_000)
    stage.minutes(2)
    found = job_detail.whole_record(job_detail.get(job.job_id))
    assert [run.cost is None for run in found["runs"]] == [False, True]
    assert (found["run_count"], found["cost"]["runs"]) == (2, 1)


@pytest.mark.parametrize(
    "parsed",
    [None, {}, {"ConsumedCapacity": None}, {"ConsumedCapacity": {}}, {"ConsumedCapacity": [{"CapacityUnits": "many"}]}],
)
def test_an_answer_without_units_counts_nothing(parsed: Any) -> None:
    assert metering._units_of("dynamodb", "GetItem", parsed, 200) is None
