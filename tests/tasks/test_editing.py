"""Edits of a task that meet each other between the read and the write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.errors import StaleRevision, WrongState
from chalicelib.store import revisions
from chalicelib.store import tasks as store
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import editing
from tests.support.simulator import OPERATOR, Stage

Edit = Callable[[str, Stage], Any]


def patched(task_id: str, stage: Stage, **changes: Any) -> TaskRecord:
    return editing.patch(task_id, changes, revision=None, actor=OPERATOR, now=stage.now)


EDITS: dict[str, Edit] = {
    "patch": lambda task_id, stage: patched(task_id, stage, group="mine"),
    "enable": lambda task_id, stage: editing.enable(task_id, actor=OPERATOR, now=stage.now),
    "disable": lambda task_id, stage: editing.disable(task_id, actor=OPERATOR, now=stage.now),
}


def overtaken(monkeypatch: pytest.MonkeyPatch, times: int, other: Callable[[], object]) -> None:
    """Have another edit come before each of the next writes of a task."""
    real, left = store.overwrite, [times]

    def overwrite(task: TaskRecord, **named: Any) -> bool:
        if left[0]:
            left[0] -= 1
            monkeypatch.setattr(store, "overwrite", real)
            other()
            monkeypatch.setattr(store, "overwrite", overwrite)
        return real(task, **named)

    monkeypatch.setattr(store, "overwrite", overwrite)


@pytest.mark.parametrize("edit", EDITS.values(), ids=list(EDITS))
def test_an_edit_without_a_revision_that_another_overtakes_is_done_to_the_newer_task(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, edit: Edit
) -> None:
    task = stage.task()
    overtaken(monkeypatch, 2, lambda: patched(task.task_id, stage, description="theirs"))
    edited = edit(task.task_id, stage)
    assert edited.description == "theirs"
    assert edited.revision == task.revision + 3
    assert store.get(task.task_id).attribute_values == edited.attribute_values


def test_a_deletion_without_a_revision_is_not_stopped_by_an_edit(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    task = stage.task()
    real = store.remove

    def remove(task_id: str, **named: Any) -> None:
        monkeypatch.setattr(store, "remove", real)
        patched(task_id, stage, description="theirs")
        real(task_id, **named)

    monkeypatch.setattr(store, "remove", remove)
    editing.delete(task.task_id, actor=OPERATOR, now=stage.now)
    assert store.find(task.task_id) is None


def test_an_edit_with_a_revision_that_another_overtakes_is_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = stage.task()
    overtaken(monkeypatch, 1, lambda: patched(task.task_id, stage, description="theirs"))
    with pytest.raises(StaleRevision):
        editing.patch(task.task_id, {"group": "mine"}, revision=int(task.revision), actor=OPERATOR, now=stage.now)
    assert store.get(task.task_id).group == task.group


def test_an_edit_that_is_overtaken_again_and_again_gives_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    task = stage.task()
    overtaken(monkeypatch, revisions.TRIES, lambda: patched(task.task_id, stage, description="theirs"))
    with pytest.raises(WrongState, match="edited by others"):
        patched(task.task_id, stage, group="mine")
