from __future__ import annotations

from typing import Any

import pytest

from chalicelib.access import audit
from chalicelib.aws import rules
from chalicelib.core.lifecycle import JobStatus
from chalicelib.errors import InvalidSchedule, StaleRevision, Unavailable
from chalicelib.maintenance import sweep
from chalicelib.store import tasks as store
from chalicelib.store import watches
from chalicelib.tasks import editing as task_editing
from chalicelib.tasks import rule_drift
from tests.support import rule_console as console
from tests.support.rule_console import LATER, SOON, a_task, edit, minute, remove, shown, sweep_after
from tests.support.simulator import OPERATOR, Stage

RATE = {"type": "interval", "every": 5, "unit": "minute"}
FOREIGN = "cron(0 9 ? * 2,4L *)"


def now(stage: Stage, task: Any) -> Any:
    return store.get(task.task_id)


def patch(stage: Stage, task: Any, **changes: Any) -> Any:
    return task_editing.patch(task.task_id, changes, revision=None, actor=OPERATOR, now=stage.now)


# --- the rule follows the task ---


def test_a_new_task_has_its_rule(stage: Stage) -> None:
    task = a_task(stage, name="Daily", schedule=RATE)
    assert shown(stage, task) == ("rate(5 minutes)", "ENABLED")
    found = rules.find(task.task_id)
    assert found is not None
    assert found.description == "Daily"


def test_a_task_fired_by_the_tick_has_none(stage: Stage) -> None:
    stage.task()
    assert console.names(stage) == []


def test_the_name_of_a_rule_fits(stage: Stage) -> None:
    assert len(rules.name("0" * 26).removeprefix("carillon-test")) + len("carillon-" + "s" * 23) == 64


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schedule": RATE}, ("rate(5 minutes)", "ENABLED")),
        ({"enabled": False}, ("cron(* * * * ? *)", "DISABLED")),
        ({"trigger": "tick"}, None),
    ],
)
def test_an_edit_takes_the_rule_along(stage: Stage, changes: dict[str, Any], expected: Any) -> None:
    task = a_task(stage)
    patch(stage, task, **changes)
    assert shown(stage, task) == expected


def test_a_new_name_is_the_rules_description(stage: Stage) -> None:
    task = a_task(stage)
    patch(stage, task, name="Nightly")
    found = rules.find(task.task_id)
    assert found is not None
    assert found.description == "Nightly"


def test_a_deleted_task_leaves_no_rule_and_no_watch(stage: Stage) -> None:
    task = a_task(stage)
    task_editing.delete(task.task_id, actor=OPERATOR, now=stage.now)
    assert console.names(stage) == []
    sweep_after(stage, SOON)
    assert stage.world.items("jobs")[0].keys() == {"job_id", "expires_at"}


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        ({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Paris"}, "schedule.timezone"),
        ({"type": "cron", "expression": "30 0 9 * * *"}, "schedule.expression"),
        ({"type": "interval", "every": 90, "unit": "second"}, "schedule.every"),
        ({**RATE, "anchor": "2026-03-02T09:02:00Z"}, "schedule.anchor"),
        ({"type": "once", "at": "2026-05-01T00:00:00"}, "schedule.type"),
        ({"type": "cron", "expression": "0 9 * * *", "end": "2026-05-01T00:00:00"}, "schedule.end"),
    ],
)
def test_a_schedule_that_no_rule_can_express_is_refused(stage: Stage, schedule: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        a_task(stage, schedule=schedule)
    assert caught.value.field == field
    assert console.names(stage) == []


def test_an_anchor_is_no_part_of_a_rate(stage: Stage) -> None:
    """The rule counts from when it was made. The anchor that a task shows is the one that its acceptance filled in."""
    task = a_task(stage, schedule=RATE)
    filled_in = now(stage, task).schedule["anchor"]
    patch(stage, task, name="Nightly")
    patch(stage, task, schedule={**RATE, "anchor": filled_in})
    assert shown(stage, task) == ("rate(5 minutes)", "ENABLED")
    with pytest.raises(InvalidSchedule) as caught:
        patch(stage, task, schedule={**RATE, "anchor": "2026-03-02T09:02:00Z"})
    assert caught.value.field == "schedule.anchor"


def test_an_edit_moves_the_anchor_only_when_it_gives_one(stage: Stage) -> None:
    task = a_task(stage, schedule={**RATE, "anchor": "2026-03-02T09:02:00Z"}, trigger="tick")
    patch(stage, task, schedule=RATE)
    assert now(stage, task).schedule["anchor"] == "2026-03-02T09:02:00Z"
    patch(stage, task, schedule={**RATE, "anchor": "2026-03-02T09:04:00Z"})
    assert now(stage, task).schedule["anchor"] == "2026-03-02T09:04:00Z"


def test_an_interval_that_counts_from_its_anchor_does_not_become_a_rate(stage: Stage) -> None:
    task = a_task(stage, schedule={**RATE, "anchor": "2026-03-02T09:02:00Z"}, trigger="tick")
    with pytest.raises(InvalidSchedule) as caught:
        patch(stage, task, trigger="eventbridge")
    assert caught.value.field == "schedule.anchor"
    patch(stage, task, trigger="eventbridge", schedule=RATE)
    assert shown(stage, task) == ("rate(5 minutes)", "ENABLED")


def test_where_eventbridge_takes_no_more_rules_the_task_is_not_made(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "put", full)
    with pytest.raises(Unavailable, match="no more rules"):
        a_task(stage)
    assert stage.world.items("tasks") == []


def test_an_edit_whose_rule_was_refused_says_so_until_the_sweep_has_put_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = a_task(stage)
    with monkeypatch.context() as patched:
        patched.setattr(rules, "put", full)
        with pytest.raises(Unavailable):
            patch(stage, task, schedule=RATE)
    assert "no more rules" in now(stage, task).note
    sweep_after(stage, SOON)
    assert shown(stage, task) == ("rate(5 minutes)", "ENABLED")
    assert now(stage, task).note == ""


def full(task_id: str, rule: rules.Rule) -> None:
    raise Unavailable("EventBridge takes no more rules.")


# --- the task follows the console ---


@pytest.mark.parametrize(
    ("changes", "schedule", "enabled"),
    [
        ({"ScheduleExpression": "rate(1 day)"}, {"type": "interval", "every": 24, "unit": "hour"}, True),
        ({"ScheduleExpression": "cron(0 9 ? * 2-6 *)"}, {"type": "cron", "expression": "0 9 * * 1-5"}, True),
        ({"ScheduleExpression": "cron(0 9 L-3 * ? *)"}, {"type": "cron", "expression": "0 9 L-3 * *"}, True),
        ({"State": "DISABLED"}, {"type": "cron", "expression": "* * * * *"}, False),
    ],
)
def test_an_edit_in_the_console_is_adopted_by_the_sweep(
    stage: Stage, changes: dict[str, Any], schedule: dict[str, Any], enabled: bool
) -> None:
    task = a_task(stage)
    edit(stage, task, **changes)
    edited = shown(stage, task)
    sweep_after(stage, SOON)
    found = now(stage, task)
    assert schedule.items() <= found.schedule.items()
    assert (found.enabled, found.revision, found.note) == (enabled, 2, rule_drift.TAKEN_OVER)
    sweep_after(stage, LATER)
    assert shown(stage, task) == edited, "the rule stays as it was edited"
    assert now(stage, task).revision == 2, "an edit is adopted once"


def test_an_adoption_is_audited(stage: Stage) -> None:
    task = a_task(stage)
    edit(stage, task, State="DISABLED")
    sweep_after(stage, SOON)
    [entry] = [
        each
        for each in audit.listing(page=1, page_size=10, now=stage.now).items
        if each.record_id == task.task_id and each.action == "update"
    ]
    assert entry.actor == "eventbridge console"
    assert entry.changes["enabled"] == [True, False]


def test_an_edit_in_the_console_is_adopted_when_the_rule_fires(stage: Stage) -> None:
    task = a_task(stage)
    edit(stage, task, ScheduleExpression="cron(0/2 * * * ? *)")
    job = minute(stage, task)
    assert now(stage, task).schedule["expression"] == "0-58/2 * * * *"
    # The slot that the edited rule reported before the edit was known runs.
    assert job is not None
    assert [each.status for each in stage.jobs()] == [JobStatus.SUCCEEDED]


def test_an_edit_through_the_api_keeps_what_was_edited_in_the_console(stage: Stage) -> None:
    task = a_task(stage)
    edit(stage, task, ScheduleExpression="rate(7 minutes)")
    patch(stage, task, description="seen")
    found = now(stage, task)
    assert (found.schedule["every"], found.description, found.revision) == (7, "seen", 3)
    assert shown(stage, task) == ("rate(7 minutes)", "ENABLED")


def test_an_edit_in_the_console_makes_the_revision_stale(stage: Stage) -> None:
    task = a_task(stage)
    edit(stage, task, ScheduleExpression="rate(7 minutes)")
    with pytest.raises(StaleRevision):
        task_editing.patch(task.task_id, {"description": "x"}, revision=1, actor=OPERATOR, now=stage.now)


def test_an_expression_written_another_way_in_the_console_stays(stage: Stage) -> None:
    task = a_task(stage)
    edit(stage, task, ScheduleExpression="cron(0/15 * * * ? *)")
    sweep_after(stage, SOON)
    patch(stage, task, name="Quarterly")
    assert shown(stage, task) == ("cron(0/15 * * * ? *)", "ENABLED")


def test_an_edit_that_cannot_be_taken_over_is_noted_and_left_alone(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    task = a_task(stage)
    edit(stage, task, ScheduleExpression=FOREIGN)
    sweep_after(stage, SOON)
    sweep_after(stage, LATER)
    patch(stage, task, description="seen")
    found = now(stage, task)
    assert found.note.startswith(rule_drift.NOT_TAKEN_OVER)
    assert found.schedule["expression"] == "* * * * *"
    assert shown(stage, task) == (FOREIGN, "ENABLED")
    assert capsys.readouterr().out.count('"level":"WARN"') == 1
    minute(stage, task)
    assert [job.status for job in stage.jobs()][-1] == JobStatus.SUCCEEDED, "what the rule tells of runs"


def test_a_schedule_given_through_the_api_replaces_what_could_not_be_taken_over(stage: Stage) -> None:
    task = a_task(stage)
    edit(stage, task, ScheduleExpression=FOREIGN)
    sweep_after(stage, SOON)
    patch(stage, task, schedule=RATE)
    assert shown(stage, task) == ("rate(5 minutes)", "ENABLED")


def test_a_rule_deleted_in_the_console_disables_its_task(stage: Stage) -> None:
    task = a_task(stage)
    remove(task)
    sweep_after(stage, SOON)
    found = now(stage, task)
    assert (found.enabled, found.note, found.revision) == (False, rule_drift.GONE, 2)
    sweep_after(stage, LATER)
    assert console.names(stage) == [], "it is not put again"
    task_editing.enable(task.task_id, actor=OPERATOR, now=stage.now)
    assert shown(stage, task) == ("cron(* * * * ? *)", "ENABLED")


# --- comparisons are bounded ---


def test_the_sweep_compares_a_rule_with_its_task_every_ten_minutes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_task(stage)
    reads = []
    find = rules.find
    monkeypatch.setattr(rules, "find", lambda task_id: reads.append(stage.now) or find(task_id))
    for _ in range(30):
        sweep_after(stage, LATER / 10)
    assert len(reads) == 3


def test_a_sweep_compares_a_few_rules_and_the_next_sweep_others(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "RULES_PER_SWEEP", 2)
    for _ in range(3):
        a_task(stage)
    stage.world.now += SOON
    assert [stage.sweep().rules for _ in range(3)] == [2, 1, 0]


def test_the_entry_that_watches_a_rule_is_no_job(stage: Stage) -> None:
    task = a_task(stage)
    assert stage.jobs() == []
    assert watches.subject_of(f"rule.{task.task_id}") == ("rule", task.task_id)
    assert watches.subject_of(task.task_id) is None
