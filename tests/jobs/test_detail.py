"""The record of one job: its clocks, its runs and failures, what ran, and what each run cost."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from chalicelib.core import prices
from chalicelib.core.lifecycle import Reason
from chalicelib.core.prices import Units, price
from chalicelib.errors import ConnectionDropped, RunNotFound
from chalicelib.jobs import actions
from chalicelib.jobs import detail as job_detail
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.store.base import client as dynamodb
from chalicelib.store.job_record import JobRecord
from chalicelib.tasks import editing as task_editing
from chalicelib.worker import metering
from tests.support.simulator import OPERATOR, PROBE, Stage

RETRY = {"max_attempts": 3, "delay_seconds": 60}


def started(stage: Stage, **changes: Any) -> JobRecord:
    """A job of a `now` task, waiting."""
    task = stage.task(**({"schedule": {"type": "now"}} | changes))
    return next(job for job in stage.jobs() if job.task_id == task.task_id)


def detail(job_id: str, *, run_no: int | None = None) -> dict[str, Any]:
    return job_detail.whole_record(job_detail.get(job_id), run_no=run_no)


def failing_until(number: int) -> None:
    """The probe fails in every run before this one."""

    def behaviour(context: RunContext) -> Outcome:
        context.define({"run": context.facts.run_no})
        if context.facts.run_no < number:
            raise ConnectionDropped(f"drop {context.facts.run_no}")
        return Outcome(rows=1)

    PROBE.behaviour = behaviour


# --- the record -------------------------------------------------------------------------------------------------------


def test_a_job_shows_its_newest_runs_and_says_how_many_there_are(stage: Stage) -> None:
    failing_until(5)
    job = started(stage, retry=RETRY | {"max_attempts": 8, "delay_seconds": 0})
    stage.minutes(1)
    found = detail(job.job_id)
    assert [run.run_no for run in found["runs"]] == [5, 4, 3]
    assert found["run_count"] == 5
    assert [(each["run_no"], each["error"], each["reason"]) for each in found["failures"]] == [
        (number, f"drop {number}", Reason.ERROR) for number in (4, 3, 2, 1)
    ]


def test_a_canceled_run_is_among_the_failures(stage: Stage) -> None:
    job = started(stage)

    def is_canceled(context: RunContext) -> Outcome:
        actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)
        context.check_for_stop()  # type: ignore[attr-defined]
        context.check()
        return Outcome()

    PROBE.behaviour = is_canceled
    stage.deliver()
    (failure,) = detail(job.job_id)["failures"]
    assert (failure["status"], failure["reason"], failure["at"]) == ("canceled", Reason.BY_USER, stage.now)


def test_the_clocks_are_shown_with_their_ends(stage: Stage) -> None:
    job = started(stage, deadline_seconds=600, queue_wait_limit_seconds=120)
    waiting = detail(job.job_id)
    assert (waiting["deadline_at"], waiting["queue_wait_ends_at"]) == (None, stage.now + timedelta(seconds=120))
    stage.deliver()
    assert detail(job.job_id)["deadline_at"] == stage.now + timedelta(seconds=600)


def test_what_ran_is_frozen_by_the_run(stage: Stage) -> None:
    failing_until(1)
    job = started(stage)
    before = detail(job.job_id)["definition"]
    assert before == {"frozen": False, "run_no": None, "document": {"words": "as it stands now"}}
    stage.deliver()
    assert detail(job.job_id)["definition"] == {"frozen": True, "run_no": 1, "document": {"run": 1}}


def test_each_run_keeps_what_it_ran(stage: Stage) -> None:
    failing_until(2)
    job = started(stage, retry=RETRY)
    stage.minutes(2)
    assert detail(job.job_id)["definition"]["document"] == {"run": 2}
    assert detail(job.job_id, run_no=1)["definition"]["document"] == {"run": 1}
    with pytest.raises(RunNotFound):
        detail(job.job_id, run_no=3)


def test_a_run_that_lost_its_job_freezes_nothing(stage: Stage) -> None:
    job = started(stage)

    def is_ended_meanwhile(context: RunContext) -> Outcome:
        stage.world.forward(seconds=2_000)
        stage.sweep()
        context.define({"too": "late"})
        return Outcome()

    PROBE.behaviour = is_ended_meanwhile
    stage.deliver()
    assert [run.definition for run in stage.runs() if run.run_no == 1] == [None]
    assert detail(job.job_id)["definition"]["frozen"] is False


def test_a_deleted_task_keeps_its_jobs_readable(stage: Stage) -> None:
    failing_until(1)
    job = started(stage)
    stage.deliver()
    task_editing.delete(job.task_id, actor=OPERATOR, now=stage.now)
    found = detail(job.job_id)
    assert (found["task_name"], found["spec"], found["status"]) == (job.task_name, job.spec, "succeeded")
    assert found["definition"]["document"] == {"run": 1}


# --- the cost ---------------------------------------------------------------------------------------------------------


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
    found = detail(job.job_id)["cost"]
    # Lambda bills whole milliseconds.
    assert found["lambda_gb_seconds"] == round(2.001 * 1769 / 1024, 6)
    assert (found["lambda_requests"], found["runs"]) == (1, 1)
    assert (found["s3_bytes"], found["s3_byte_days"]) == (1_000, 90_000)


def test_outside_of_lambda_there_is_no_lambda_to_pay(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    found = detail(job.job_id)["cost"]
    assert (found["lambda_requests"], found["lambda_gb_seconds"]) == (0, 0)


def test_the_units_of_a_run_are_those_that_dynamodb_told_until_its_end(stage: Stage) -> None:
    told: list[tuple[str, Any]] = []

    def note(model: Any, parsed: Any, **_: Any) -> None:
        told.append((model.name, parsed))

    job = started(stage)
    dynamodb().meta.events.register("after-call", note, unique_id="test-units")
    stage.deliver()
    dynamodb().meta.events.unregister("after-call", unique_id="test-units")
    end = next(number for number, (_, parsed) in enumerate(told) if "summary" in parsed.get("Attributes", {}))
    units = [(name, parsed["ConsumedCapacity"]) for name, parsed in told[:end]]
    assert len(units) > 5
    flat = [(name, each["CapacityUnits"]) for name, all_ in units for each in (all_ if type(all_) is list else [all_])]
    reads = sum(amount for name, amount in flat if name in ("GetItem", "Query", "BatchGetItem"))
    found = detail(job.job_id)["cost"]
    assert found["dynamodb_read_units"] == reads
    assert found["dynamodb_write_units"] == sum(amount for _, amount in flat) - reads


@pytest.mark.usefixtures("memory")
def test_a_job_costs_what_its_runs_do_together_also_after_a_rerun(stage: Stage) -> None:
    failing_until(3)
    job = started(stage, retry=RETRY | {"max_attempts": 2})
    stage.minutes(2)
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    found = detail(job.job_id)
    costs = [run.cost for run in found["runs"]]
    assert len(costs) == found["cost"]["runs"] == 3
    for name in ("lambda_requests", "dynamodb_read_units", "dynamodb_write_units"):
        assert found["cost"][name] == sum(each[name] for each in costs) > 0
    assert Decimal(found["cost"]["usd"]) == price(Units.read(found["cost"]))


def test_of_a_run_whose_worker_was_lost_no_cost_is_known(stage: Stage) -> None:
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
    found = detail(job.job_id)
    assert [run.cost is None for run in found["runs"]] == [False, True]
    assert (found["run_count"], found["cost"]["runs"]) == (2, 1)


# What a million of each costs, or a GB for a month: the figures of the price pages.
@pytest.mark.parametrize(
    ("units", "dollars"),
    [
        (Units(lambda_requests=1_000_000), "0.20"),
        (Units(lambda_gb_seconds=1_000_000), "16.6667"),
        (Units(dynamodb_read_units=1_000_000), "0.125"),
        (Units(dynamodb_write_units=1_000_000), "0.625"),
        (Units(s3_requests=1_000_000), "5"),
        (Units(s3_byte_days=(1 << 30) * 304 // 10), "0.023"),
        (Units(), "0"),
        (Units(dynamodb_read_units=0.5), "0.0000000625"),
    ],
)
def test_units_are_priced_by_the_list(units: Units, dollars: str) -> None:
    assert abs(price(units) - Decimal(dollars)) < Decimal("0.000000001")


@pytest.mark.parametrize(
    "parsed",
    [None, {}, {"ConsumedCapacity": None}, {"ConsumedCapacity": {}}, {"ConsumedCapacity": [{"CapacityUnits": "many"}]}],
)
def test_an_answer_that_tells_no_units_counts_nothing(parsed: Any) -> None:
    assert metering._units_of("dynamodb", "GetItem", parsed, 200) is None


def test_a_cost_written_by_a_version_that_counts_otherwise_can_be_summed() -> None:
    old = {"dynamodb_read_units": 0.1, "sqs_requests": 3, "usd": "1", "runs": 2}
    found = prices.add_run(old, prices.cost_record(Units(dynamodb_read_units=0.2), runs=1))
    assert found is not None
    assert (found["dynamodb_read_units"], found["runs"], "sqs_requests" in found) == (0.3, 3, False)
