"""The reasons of ends: a closed list, and the preconditions that kinds of task bring."""

from __future__ import annotations

import pickle

import pytest

from chalicelib.core.lifecycle import Reason
from chalicelib.errors import PreconditionMissing

LISTED = set(Reason)


def test_a_precondition_of_a_kind_is_a_reason_without_being_listed() -> None:
    reason = Reason("no_robot")
    assert reason == "no_robot"
    assert reason is Reason("no_robot") is pickle.loads(pickle.dumps(reason))
    assert set(Reason) == LISTED


@pytest.mark.parametrize("text", ["", "robot", "no_", "no_Robot", "no_robot ", "no robot", "no_" + "x" * 100, "ERROR"])
def test_any_other_text_is_no_reason(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid Reason"):
        Reason(text)


def test_preconditions_are_told_from_all_other_reasons() -> None:
    listed = {Reason.NO_SOURCE, Reason.NO_REPORT, Reason.NO_ACCOUNT, Reason.NO_PROXY}
    assert {reason for reason in Reason if reason.is_precondition} == listed
    assert Reason("no_robot").is_precondition


@pytest.mark.parametrize("reason", ["error", "robot_missing"])
def test_what_is_raised_for_a_missing_precondition_has_such_a_reason(reason: str) -> None:
    assert PreconditionMissing("gone", reason="no_robot").reason == "no_robot"
    with pytest.raises(ValueError, match=reason):
        PreconditionMissing("gone", reason=reason)
