"""The snapshots of the local stack: a kill at any step leaves one whole state of one instant."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.local import snapshots
from infra.local.snapshots import Snapshot

FIRST = Snapshot(datetime(2026, 3, 1, 12, 0, tzinfo=UTC), stopped=False)
SECOND = Snapshot(datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC), stopped=True)
OLD = {"dynamodb": b"old records", "sqs": b"old messages"}
NEW = {"dynamodb": b"new records", "sqs": b"new messages"}


class Killed(BaseException):
    """The process ends here."""


def content(folder: Path) -> dict[str, bytes]:
    return {each.stem: each.read_bytes() for each in folder.glob("*.json") if each.name != snapshots.ABOUT}


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> bool:
    """Whether the act reached this step on the disk, which it does not survive."""
    steps = 0

    def count(inner: Callable[..., object]) -> Callable[..., object]:
        def stepped(*given: object, **named: object) -> object:
            nonlocal steps
            steps += 1
            if steps == step:
                raise Killed
            return inner(*given, **named)

        return stepped

    with monkeypatch.context() as patch:
        for name in ("mkdir", "replace", "unlink", "rmdir"):
            patch.setattr(Path, name, count(getattr(Path, name)))
        patch.setattr(snapshots, "_write_through", count(snapshots._write_through))
        patch.setattr(shutil, "rmtree", count(shutil.rmtree))
        try:
            act()
        except Killed:
            return True
    return False


def test_a_folder_without_a_snapshot_has_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert snapshots.recover(tmp_path / "services") is None


def test_a_snapshot_comes_back_with_its_instant(tmp_path: Path) -> None:
    snapshots.write(tmp_path, OLD, FIRST)
    assert snapshots.recover(tmp_path) == FIRST
    assert content(tmp_path) == OLD


def test_a_kill_at_any_step_of_a_snapshot_leaves_the_old_or_the_new_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for step in range(1, 100):
        folder = tmp_path / str(step)
        snapshots.write(folder, OLD, FIRST)
        reached = killed_at(step, monkeypatch, lambda folder=folder: snapshots.write(folder, NEW, SECOND))  # type: ignore[misc]
        # The start after it may be killed as well, at any of its steps.
        killed_at(step % 3 + 1, monkeypatch, lambda folder=folder: snapshots.recover(folder))  # type: ignore[misc]
        about = snapshots.recover(folder)
        assert (about, content(folder)) in ((FIRST, OLD), (SECOND, NEW)), f"killed at step {step}"
        assert not (folder / snapshots.NEW).exists()
        found.append(about)
        if not reached:
            break
    assert FIRST in found
    assert found[-1] == SECOND
    assert len(found) > 10


def test_a_stack_that_runs_again_counts_as_killed_until_it_is_stopped(tmp_path: Path) -> None:
    snapshots.write(tmp_path, NEW, SECOND)
    snapshots.mark_running(tmp_path, SECOND)
    assert snapshots.recover(tmp_path) == Snapshot(SECOND.at, stopped=False)
    assert content(tmp_path) == NEW


def test_the_state_of_an_earlier_release_is_gone_on_from(tmp_path: Path) -> None:
    (tmp_path / "dynamodb.json").write_bytes(b"old records")
    found = snapshots.recover(tmp_path)
    assert found is not None
    assert found.stopped
