"""Everything that touches a task and its rule, with the process dying before and after every call to AWS.

The request is not repeated: sweeps alone bring task and rule together. Then the rule is what the task says, a task
without a rule leaves none behind, an edit made in the console is still there, and every rule is watched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.aws.clients import client
from chalicelib.core.lifecycle import JobStatus
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import editing as task_editing
from chalicelib.tasks import rule_sync
from tests.faults.conftest import POINTS
from tests.faults.crash import Rig, rigged, surviving
from tests.support import rule_console as console
from tests.support.rule_console import LATER, SOON, a_task, edit, remove, told
from tests.support.simulator import OPERATOR, Stage, a_stage
from tests.support.world import a_world

RATE = {"type": "interval", "every": 5, "unit": "minute"}
FIVE_MINUTES = ("rate(5 minutes)", "ENABLED")

Step = Callable[[Stage, TaskRecord], Any]


def nothing(stage: Stage, task: TaskRecord) -> None:
    return None


def patched(**changes: Any) -> Step:
    def step(stage: Stage, task: TaskRecord) -> None:
        task_editing.patch(task.task_id, changes, revision=None, actor=OPERATOR, now=stage.now)

    return step


def deleted(stage: Stage, task: TaskRecord) -> None:
    task_editing.delete(task.task_id, actor=OPERATOR, now=stage.now)


def created(stage: Stage, task: TaskRecord) -> None:
    task_editing.create(
        {"name": "new", "kind": "probe", "schedule": RATE, "trigger": "eventbridge"}, actor=OPERATOR, now=stage.now
    )


def edited(stage: Stage, task: TaskRecord) -> None:
    edit(stage, task, ScheduleExpression="rate(5 minutes)")


def removed(stage: Stage, task: TaskRecord) -> None:
    remove(task)


def swept(stage: Stage, task: TaskRecord) -> None:
    stage.world.now += SOON
    stage.sweep()


def fired(stage: Stage, task: TaskRecord) -> None:
    stage.world.now += timedelta(seconds=70)
    told(stage, task, stage.now - timedelta(seconds=5))


@dataclass(frozen=True)
class Case:
    """What came before, the step in which the process dies, and what the task's rule may be in the end."""

    step: Step
    before: Step = nothing
    may_be: tuple[Any, ...] = ()
    trigger: str = "eventbridge"


OLD = ("cron(* * * * ? *)", "ENABLED")
CASES = {
    "create": Case(created, may_be=(OLD,)),
    "edit": Case(patched(schedule=RATE), may_be=(OLD, FIVE_MINUTES)),
    "disable": Case(patched(enabled=False), may_be=(OLD, (OLD[0], "DISABLED"))),
    "to the tick": Case(patched(trigger="tick"), may_be=(OLD, None)),
    "from the tick": Case(patched(trigger="eventbridge"), may_be=(OLD, None), trigger="tick"),
    "delete": Case(deleted, may_be=(OLD, None)),
    "adopt in the sweep": Case(swept, before=edited, may_be=(FIVE_MINUTES,)),
    "adopt before an edit": Case(patched(description="x"), before=edited, may_be=(FIVE_MINUTES,)),
    "adopt when fired": Case(fired, before=edited, may_be=(FIVE_MINUTES,)),
    "deleted in the console": Case(swept, before=removed, may_be=(None,)),
    "fire": Case(fired, may_be=(OLD,)),
}


def play(case: Case, monkeypatch: pytest.MonkeyPatch, at: int | None) -> Rig:
    with a_world() as world:
        stage = a_stage(world, monkeypatch)
        rig = Rig(at)
        try:
            task = a_task(stage, trigger=case.trigger)
            stage.world.now += timedelta(seconds=5)
            case.before(stage, task)
            with rigged(rig):
                surviving(rig, lambda: case.step(stage, task))
            for step in (SOON, LATER, LATER):
                stage.world.now += step
                stage.sweep()
            check(stage, case, task)
        except AssertionError as error:
            where = "undisturbed" if at is None else f"crash {at}: {rig.moments[at - 1]}"
            raise AssertionError(f"{where}: {error}") from error
        finally:
            client("sqs").meta.events.unregister("before-parameter-build.sqs.SendMessageBatch", unique_id="tests-delay")
    return rig


def check(stage: Stage, case: Case, old: TaskRecord) -> None:
    found = {task.task_id: task for task in TaskRecord.scan()}
    with_rule = {task_id for task_id, task in found.items() if rule_sync.has_rule(task)}
    assert console.shown(stage, old) in case.may_be
    for task_id in with_rule:
        shown, wanted = console.shown(stage, found[task_id]), rule_sync.wanted_rule(found[task_id])
        assert shown == (wanted and (wanted.expression, "ENABLED" if wanted.enabled else "DISABLED"))
        if shown is not None:
            targets = stage.world.client("events").list_targets_by_rule(Rule=rule_name(task_id))["Targets"]
            assert len(targets) == 1
    ruled = {rule_name(task_id) for task_id in with_rule}
    assert set(console.names(stage)) <= ruled, "no rule outlives its task"
    watched = {item["job_id"] for item in stage.world.items("jobs") if "month" not in item and "lease_until" in item}
    assert {f"rule.{task_id}" for task_id in with_rule} <= watched, "every rule is watched"
    slots = [job.scheduled_for for job in stage.jobs() if job.status != JobStatus.CANCELED]
    assert len(slots) == len(set(slots))


def rule_name(task_id: str) -> str:
    return f"carillon-test-task-{task_id}"


@pytest.mark.parametrize("name", CASES)
def test_a_task_and_its_rule_come_together_at_whichever_call_the_process_dies(
    name: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    # One shard of each index instead of four: the same calls, fewer of the idle ones.
    for constant in ("store.tasks.DUE_SHARDS", "store.jobs.LEASE_SHARDS"):
        monkeypatch.setattr(f"chalicelib.{constant}", 1)
    monkeypatch.setattr("chalicelib.maintenance.sweep.LEASE_SHARDS", 1)
    undisturbed = play(CASES[name], monkeypatch, None)
    for point in range(1, len(undisturbed.moments) + 1):
        play(CASES[name], monkeypatch, point)
    record_property(f"{POINTS} of rules, {name}", len(undisturbed.moments))
