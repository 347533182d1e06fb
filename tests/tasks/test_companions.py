"""Create, save and delete walk the table of companions: a new companion is one row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from chalicelib.errors import TaskNotFound, Unavailable
from chalicelib.store import tasks as store
from chalicelib.tasks import editing, saving
from chalicelib.tasks.companions import COMPANIONS, Change, Companion
from tests.support.simulator import OPERATOR, Stage

STEPS = ("before_save", "confirm_new", "after_create", "after_edit", "before_delete", "after_delete")


def noting(seen: list[str], name: str) -> Companion:
    """A companion that notes the step, the name before and after the change, and the name that is stored."""

    def hook(step: str) -> Callable[[Change], None]:
        def note(change: Change) -> None:
            stored = store.find(change.task_id)
            before, after, now = (task and task.name for task in (change.before, change.after, stored))
            seen.append(f"{name} {step}: {before} -> {after}, {now}")

        return note

    return Companion(**{step: hook(step) for step in STEPS})


def test_a_companion_is_told_of_each_step_around_the_write(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(saving, "COMPANIONS", (*COMPANIONS, noting(seen, "x"), noting(seen, "y")))
    task = stage.task(name="old")
    editing.patch(task.task_id, {"name": "new"}, revision=1, actor=OPERATOR, now=stage.now)
    editing.delete(task.task_id, actor=OPERATOR, now=stage.now)
    assert seen == [
        "y before_save: None -> old, None",
        "x before_save: None -> old, None",
        "x confirm_new: None -> old, old",
        "y confirm_new: None -> old, old",
        "x after_create: None -> old, old",
        "y after_create: None -> old, old",
        "y before_save: old -> new, old",
        "x before_save: old -> new, old",
        "x after_edit: old -> new, new",
        "y after_edit: old -> new, new",
        "y before_delete: new -> None, new",
        "x before_delete: new -> None, new",
        "x after_delete: new -> None, None",
        "y after_delete: new -> None, None",
    ]


def test_a_task_that_a_companion_cannot_confirm_is_taken_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def refuse(change: Change) -> None:
        tried.append(change.task_id)
        raise Unavailable("full")

    monkeypatch.setattr(saving, "COMPANIONS", (*COMPANIONS, Companion(confirm_new=refuse)))
    with pytest.raises(Unavailable):
        stage.task()
    [task_id] = tried
    with pytest.raises(TaskNotFound):
        store.get(task_id)


def test_an_edit_leaves_the_record_at_hand_as_it_was(stage: Stage) -> None:
    task = store.get(stage.task(name="old").task_id)
    later = stage.now + timedelta(seconds=1)
    edited = saving.save(task, {"name": "new"}, "update", saving.EDITED, actor=OPERATOR, now=later)
    assert (task.name, int(task.revision), task.updated_at) == ("old", 1, stage.now)
    assert (edited.name, int(edited.revision), edited.updated_at) == ("new", 2, later)
