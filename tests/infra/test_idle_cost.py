from __future__ import annotations

import copy
from typing import Any

from chalicelib.store.base import client as dynamodb
from infra import idle_cost
from tests.support.simulator import Stage


def total(template: dict[str, Any]) -> float:
    return sum(row.dollars for row in idle_cost.rows(template))


def test_a_month_in_which_nothing_is_due_costs_less_than_a_dollar(template: dict[str, Any]) -> None:
    assert 0.1 < total(template) < 1.0


def test_each_timer_and_each_queue_that_is_read_is_counted(template: dict[str, Any]) -> None:
    said = {row.what for row in idle_cost.rows(template)}
    assert {"Tick: starts", "Sweep: starts", "Tick: read units", "Queue: polls"} <= said


def test_more_memory_of_a_timer_costs_more(template: dict[str, Any]) -> None:
    larger = copy.deepcopy(template)
    larger["Resources"]["Tick"]["Properties"]["MemorySize"] *= 4
    assert total(larger) > total(template) + 0.1


def test_a_table_whose_key_aws_bills_costs_more(template: dict[str, Any]) -> None:
    billed = copy.deepcopy(template)
    billed["Resources"]["JobsTable"]["Properties"]["SSESpecification"] = {"SSEEnabled": True}
    assert total(billed) > total(template)


def test_the_table_has_a_line_for_each_and_the_sum(template: dict[str, Any]) -> None:
    text = idle_cost.table(template)
    assert text.count(" USD") == len(idle_cost.rows(template)) + 2
    assert "An idle month" in text


def test_an_idle_minute_reads_no_more_than_is_counted(stage: Stage) -> None:
    # Each call of an empty table or index takes one unit at most.
    for function, act in (("Tick", stage.tick), ("Sweep", stage.sweep)):
        calls: list[str] = []
        events = dynamodb().meta.events

        def note(params: dict[str, Any], model: Any, calls: list[str] = calls, **_: Any) -> None:
            calls.append(model.name)

        events.register_last("before-parameter-build", note, unique_id="tests-idle")
        act()
        events.unregister("before-parameter-build", unique_id="tests-idle")
        assert 0 < len(calls) <= idle_cost.READS[function], (function, calls)
